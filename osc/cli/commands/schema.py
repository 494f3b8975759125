"""The command schema."""

from __future__ import annotations

import json

from osc.cli.surroundings import Cli, verb

FOR, ORDER = "author", 4
EXAMPLES = ("osc schema > plans/osc-plan.schema.json",)


@verb
def command(cli: Cli) -> None:
    """Print the JSON Schema of plans, for editors and reviewers; no database is needed."""
    from osc.verbs.schema import schema

    found = schema()
    cli.show(found, json.dumps(found, indent=2, ensure_ascii=False))
