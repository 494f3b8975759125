"""schema: the JSON Schema of plans, for editors and reviewers."""

from __future__ import annotations

from typing import Any

from osc.plan import json_schema


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of plans, with every kind of operation there is."""
    return json_schema()
