"""What a statement under ``run`` cannot be, told from its text alone: part of a transaction, or outside of any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding
from osc.program.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan
    from osc.plan.phases import RunStatement


def contradictions(plan: Plan) -> Iterator[Finding]:
    """Yield V152 for CONCURRENTLY in a transaction and V155 for locks without one, each with its path in the plan."""
    for phase in Phase:
        for number, run in enumerate(plan.phase(phase).run):
            yield from _of_statement(run, (phase.value, "run", number))


def _of_statement(run: RunStatement, path: tuple[str | int, ...]) -> Iterator[Finding]:
    """A statement is part of a transaction, with its locks, or outside of any, without them."""
    texts = {"sql": run.sql, "undo": run.undo}
    for key, text in texts.items():
        if run.transaction and text is not None and "concurrently" in str(text).lower():
            yield Finding(
                "V152",
                "a statement under run is part of a transaction, which CONCURRENTLY cannot be",
                "use create_index, or say transaction: false",
                path=(*path, key),
            )
    if not run.transaction and run.lock:
        yield Finding(
            "V155",
            "lock: needs a transaction that holds the locks, and this statement says transaction: false",
            "leave out one of the two",
            path=(*path, "lock"),
        )
