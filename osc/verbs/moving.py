"""Moving a change to its target: lead it, or, while another executor does, follow that one as if it were ours."""

from __future__ import annotations

from osc.errors import Conflict, Failed, GateClosed, InvalidPlan, OscError, OutcomeUnknown, Refused, TryAgainLater
from osc.executor.lead import Executor
from osc.executor.reports import Report
from osc.executor.runner import Work, run_change
from osc.program import Phase
from osc.state import changes, lease
from osc.state.changes import Change
from osc.state.transitions import State, allowed_verbs, phase_completed
from osc.verbs.session import Session


def executor(session: Session, kind: str) -> Executor:
    """Return an executor of this process for one command."""
    return Executor(session.target, kind, session.settings, session.clock, session.listener)


async def find(session: Session, change_id: str) -> Change:
    """Return the change; raise Conflict if no plan of that id is registered here."""
    async with session.state(f"{change_id}:find") as conn:
        change = await changes.find(conn, change_id)
        if change is not None:
            return change
        known = ", ".join(one.id for one in await changes.open_changes(conn)) or "none"
    raise Conflict(
        f"no change {change_id} is registered in this database; nothing was changed", hint=f"open changes: {known}"
    )


async def move(session: Session, change: Change, kind: str, work: Work | None = None) -> Change:
    """Bring ``change`` to the target in its row, by whoever leads; raise what stopped it."""
    runner = executor(session, kind)
    while True:
        reached = await run_change(runner, change, work)
        if reached is not None:
            return reached
        now = await _follow(session, change)
        if now is not None and work is None:
            return now


async def _follow(session: Session, change: Change) -> Change | None:
    """Watch another executor lead; return the change when it has arrived, ``None`` when the lead is free.

    Raises the problem that stopped it, as if it were ours.
    """
    async with session.state(f"{change.id}:follow") as conn:
        leader = await lease.leader(conn, change.number)
        if leader is not None and leader.alive:
            told = f"{leader.kind} on {leader.host} (pid {leader.pid}) leads {change.id}; following it"
            session.listener(Report(kind="note", change=change.id, message=told))
        while True:
            leader = await lease.leader(conn, change.number)
            now = await changes.get(conn, change.number)
            if arrived(now):
                return now
            if leader is None or not leader.alive:
                if now.problem is not None:
                    raise problem_of(now)
                return None
            await session.clock.sleep(session.settings.poll_s)


def arrived(change: Change) -> bool:
    """Return whether the change is where its row says it shall be."""
    if change.direction == "back":
        if change.target is None:
            return change.state is State.ROLLED_BACK
        return phase_completed(change.state) is change.target
    completed = phase_completed(change.state)
    return change.target is None or (completed is not None and completed.order >= change.target.order)


def problem_of(change: Change) -> OscError:
    """Return the error that the change's row keeps, with the exit code it had."""
    problem = change.problem or {}
    kind = _KINDS.get(int(problem.get("exit_code", 1)), Failed)
    message = str(problem.get("message", f"{change.id} stopped"))
    return kind(message, hint=str(problem.get("hint", "")), facts=dict(problem.get("facts", {})))


_KINDS: dict[int, type[OscError]] = {
    kind.exit_code: kind for kind in (Failed, InvalidPlan, Refused, GateClosed, Conflict, OutcomeUnknown, TryAgainLater)
}


def refuse_unless_open(change: Change, verb: str) -> None:
    """Raise Conflict if the change takes no more of ``verb``."""
    if verb not in allowed_verbs(change.state):
        raise Conflict(
            f"{change.id} is {change.state}, which does not take {verb}; nothing was changed",
            hint=f"allowed now: {', '.join(allowed_verbs(change.state))}",
            facts={"state": str(change.state), "allowed": list(allowed_verbs(change.state))},
        )


def next_phase(change: Change) -> Phase | None:
    """Return the phase that comes after the last complete one, ``None`` behind the last."""
    completed = phase_completed(change.state)
    later = [phase for phase in Phase if completed is None or phase.order > completed.order]
    return later[0] if later else None
