"""Moving a change to its target: lead it, or, while another executor does, follow that one as if it were ours."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from osc.errors import Conflict, NotPrimary, Unreachable
from osc.executor.explaining import mends_itself
from osc.executor.lead import Executor
from osc.executor.reports import Report
from osc.executor.runner import Work, run_change
from osc.pg.session import Connection
from osc.program import Phase
from osc.state import changes, lease, soundness
from osc.state.changes import Change
from osc.state.transitions import State, allowed_verbs, phase_completed, rests_at
from osc.verbs.recalled import recalled
from osc.verbs.session import Session


def executor(session: Session, kind: str) -> Executor:
    """Return an executor of this process for one command."""
    stays = kind != "worker"
    return Executor(session.target, kind, session.settings, session.clock, session.listener, stays_while_paused=stays)


async def find(session: Session, change_id: str) -> Change:
    """Return the change; raise Conflict if no plan of that id is registered here."""
    async with session.state(f"{change_id}:find") as conn:
        change = await changes.find(conn, change_id)
        if change is not None:
            if change.open:
                await soundness.refuse_damage(conn, change.number)  # before a wish is written; the leader asks again
            return change
        known = ", ".join(one.id for one in await changes.open_changes(conn)) or "none"
    raise Conflict(
        f"no change {change_id} is registered in this database; nothing was changed", hint=f"open changes: {known}"
    )


async def move(session: Session, change: Change, kind: str, work: Work | None = None) -> Change:
    """Bring ``change`` to the target in its row, by whoever leads; raise what stopped it.

    With ``work`` that is done instead, as soon as nobody else leads.
    """
    runner = executor(session, kind)
    while True:
        reached = await run_change(runner, change, work)
        if reached is not None:
            return reached
        now = await _follow(session, change, until=arrived if work is None else None)
        if now is not None:
            return now


async def _follow(session: Session, change: Change, until: Callable[[Change], bool] | None) -> Change | None:
    """Watch another executor lead; return the change once ``until`` holds of it, ``None`` when the lead is free.

    Raises the problem that stopped it, as if it were ours. A session that ends is opened anew.
    """
    follower = _Follower(session, change, until)
    for attempt in range(session.settings.leads_max):
        try:
            async with session.state(f"{change.id}:follow") as conn:
                return await follower.follow(conn)
        except (psycopg.Error, OSError, Unreachable, NotPrimary) as error:
            if not mends_itself(error) or attempt == session.settings.leads_max - 1:
                raise
            await session.clock.sleep(session.settings.poll_s)
    raise AssertionError("unreachable")


class _Follower:
    """Somebody who watches a leader; it tells each new state once."""

    def __init__(self, session: Session, change: Change, until: Callable[[Change], bool] | None) -> None:
        self._session, self._change, self._until = session, change, until
        self._told: set[str] = set()

    async def follow(self, conn: Connection) -> Change | None:
        while True:
            # The leader first: who led at that moment may have written its problem since, but never the other way round.
            leader = await lease.leader(conn, self._change.number)
            now = await changes.get(conn, self._change.number)
            if self._until is not None and self._until(now):
                return now
            if leader is None or not leader.alive:
                if self._until is not None and now.problem is not None:
                    raise recalled(now.problem)
                return None
            self._tell(f"{leader.kind} on {leader.host} (pid {leader.pid}) leads {now.id}: {now.state}")
            await self._session.clock.sleep(self._session.settings.poll_s)

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._session.listener(Report(kind="note", change=self._change.id, message=message))


def arrived(change: Change) -> bool:
    """Return whether the change is where its row says it shall be."""
    if change.direction == "back":
        if change.target is None:
            return change.state is State.ROLLED_BACK
        return rests_at(change.state) is change.target
    completed = phase_completed(change.state)
    return change.target is None or (completed is not None and completed.order >= change.target.order)


def refuse_unless_open(change: Change, verb: str) -> None:
    """Raise Conflict if the change takes no more of ``verb``."""
    if verb not in allowed_verbs(change.state):
        raise Conflict(
            f"{change.id} is {change.state}, which does not take {verb}; nothing was changed",
            hint=f"allowed now: {', '.join(allowed_verbs(change.state))}",
            facts={"state": str(change.state), "allowed": list(allowed_verbs(change.state))},
        )


def refuse_elsewhere(change: Change, direction: str, phase: Phase | None) -> None:
    """Raise Conflict if the change did not go where this command asked: another command has asked for something else."""
    completed = phase_completed(change.state)
    if direction == "forward":
        there = phase is None or (completed is not None and completed.order >= phase.order)
    else:
        there = change.state is State.ROLLED_BACK or (phase is not None and rests_at(change.state) is phase)
    if not there:
        wish = f"{change.direction} to {change.target or 'the beginning'}"
        raise Conflict(
            f"{change.id} is {change.state}: another command asked for {wish} meanwhile",
            hint=f"osc history {change.id} tells who; ask again if it shall go on",
            facts={"state": str(change.state), "target": change.target and str(change.target)},
        )
