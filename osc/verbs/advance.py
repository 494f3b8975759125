"""advance: bring a registered change to a phase, the one last asked for unless told otherwise; so it repairs a crashed run."""

from __future__ import annotations

from osc.errors import Conflict, GateClosed, LeaseLost, TryAgainLater
from osc.program import Phase
from osc.state import changes
from osc.state.changes import Change
from osc.state.transitions import State, phase_completed
from osc.verbs.moving import find, move, refuse_elsewhere, refuse_unless_open
from osc.verbs.outcome import Outcome, outcome_of
from osc.verbs.session import Session


async def advance(
    session: Session, change_id: str, *, to: Phase | None = None, if_ready: bool = False, detach: bool = False
) -> Outcome:
    """Bring the change to ``to``. With ``if_ready`` a closed gate or an hour not yet come is no error.

    Raises GateClosed, TryAgainLater, Conflict, Refused or Failed as the change stops; what was done stays done.
    """
    change = await find(session, change_id)
    target = to or change.target
    if target is None or change.state is State.ROLLING_BACK:
        raise _no_target(change)
    try:
        return await advance_change(session, change, target, kind="advance", detach=detach)
    except (GateClosed, TryAgainLater) as closed:
        if not if_ready or isinstance(closed, LeaseLost):
            raise
        return outcome_of(await find(session, change_id), f"not yet: {closed.message}")


def _no_target(change: Change) -> Conflict:
    if change.state is State.ROLLING_BACK:
        return Conflict(
            f"{change.id} is being rolled back; nothing was changed", hint=f"osc rollback {change.id} goes on with it"
        )
    return Conflict(
        f"{change.id} was never asked to go anywhere; nothing was changed", hint=f"osc advance {change.id} --to expand"
    )


async def advance_change(
    session: Session, change: Change, target: Phase, *, kind: str, detach: bool = False
) -> Outcome:
    """Bring ``change`` to ``target``, or with ``detach`` only record the wish for a worker."""
    completed = phase_completed(change.state)
    if completed is not None and completed.order >= target.order and change.direction == "forward":
        return outcome_of(change, f"{change.id}: {target} is complete")
    refuse_unless_open(change, "advance")
    async with session.state(f"{change.id}:target") as conn:
        change = await changes.set_target(conn, change, target, "forward", who=session.who)
    if detach:
        return outcome_of(change, f"{change.id} shall go to {target}; an osc worker does it")
    reached = await move(session, change, kind)
    refuse_elsewhere(reached, "forward", target)
    return outcome_of(reached, f"{change.id}: {target} is complete")
