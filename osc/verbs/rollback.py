"""rollback: undo phases, all of them unless told where to stop; possible until contract's first drop."""

from __future__ import annotations

from osc.errors import Conflict
from osc.program import Phase
from osc.state import changes
from osc.state.changes import Change
from osc.state.transitions import State, phase_completed
from osc.verbs.moving import find, move, refuse_elsewhere, refuse_unless_open
from osc.verbs.outcome import Outcome, outcome_of
from osc.verbs.session import Session


async def rollback(session: Session, change_id: str, *, to: Phase | None = None) -> Outcome:
    """Undo everything behind ``to``; without it the change is removed and its id is free again.

    Raises Conflict where there is no way back, Refused while rows hold values that the old column cannot.
    """
    change = await find(session, change_id)
    if to is Phase.CONTRACT:
        raise Conflict(
            "contract is the last phase; there is no going back to it, and nothing was changed",
            hint="name an earlier phase",
        )
    if change.state is State.ROLLED_BACK:
        return outcome_of(change, f"{change.id} is rolled back already")
    refuse_unless_open(change, "rollback")
    _refuse_target(change, to)
    change = await _wish(session, change, to)
    if change.state is not State.ROLLED_BACK:
        change = await move(session, change, "rollback")
    refuse_elsewhere(change, "back", to)
    where = f"back at {to}" if to else "rolled back; its id is free again"
    return outcome_of(change, f"{change.id} is {where}")


def _refuse_target(change: Change, to: Phase | None) -> None:
    completed = phase_completed(change.state)
    if to is not None and change.state is not State.ROLLING_BACK and (completed is None or completed.order < to.order):
        raise Conflict(
            f"{change.id} has not completed {to} and cannot go back to it; nothing was changed", hint="see osc status"
        )


async def _wish(session: Session, change: Change, to: Phase | None) -> Change:
    """Record the wish; who asks for what another command has just done finds it done."""
    async with session.state(f"{change.id}:target") as conn:
        try:
            return await changes.set_target(conn, change, to, "back", who=session.who)
        except Conflict:
            now = await changes.get(conn, change.number)
            if now.state is not State.ROLLED_BACK:
                raise
            return now
