"""A Program as people read it: text for a terminal, Markdown for a review, a script for psql. Pure functions."""

from __future__ import annotations

from osc.compiler.explain.markdown import as_markdown
from osc.compiler.explain.script import as_script
from osc.compiler.explain.text import as_text

__all__ = ["as_markdown", "as_script", "as_text"]
