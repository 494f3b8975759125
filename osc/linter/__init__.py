"""What can be said of a plan as a whole without a database: rules of composition, one file each under ``rules``.

With a database the objections and probes of the operations are added by the verb.
"""

from __future__ import annotations

from osc.linter.report import as_json, as_lines
from osc.linter.rule import Rule, lint_rules
from osc.linter.rule import check as findings_offline

__all__ = ["Rule", "as_json", "as_lines", "findings_offline", "lint_rules"]
