"""Statements under ``run`` that cannot be what they say: part of a transaction, or outside of any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.plan.statements import contradictions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.errors import Finding
    from osc.plan.model import Plan

ID = "outside-of-a-transaction"
WHY = "The server would refuse it in the middle of the change; apply refuses it before, and no database is needed to see it."


def check(plan: Plan) -> Iterator[Finding]:
    """Yield what the compiler would refuse."""
    yield from contradictions(plan)
