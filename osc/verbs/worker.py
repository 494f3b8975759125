"""worker: one process that brings every change to its target, in turn; what ``--detach`` leaves its wishes to."""

from __future__ import annotations

from osc.errors import GateClosed, OscError, TryAgainLater
from osc.executor.reports import Report
from osc.executor.runner import run_change
from osc.state import changes
from osc.state.changes import Change
from osc.verbs.moving import arrived, executor
from osc.verbs.session import Session


async def worker(session: Session, *, once: bool = False, poll_s: float | None = None) -> None:
    """Take the open changes in turn, for ever or ``once``; a change that stops is told and left for its person.

    A change with a problem is not tried again until somebody asks for it: repeating blindly helps nobody.
    """
    runner = executor(session, "worker")
    while True:
        for change in await _wanting(session):
            try:
                await run_change(runner, change)
            except (GateClosed, TryAgainLater) as closed:
                _tell(session, change, "waiting", closed)
            except OscError as error:
                _tell(session, change, "note", error)
        if once:
            return
        await session.clock.sleep(poll_s if poll_s is not None else session.settings.worker_poll_s)


async def _wanting(session: Session) -> list[Change]:
    async with session.state("worker:look") as conn:
        found = await changes.open_changes(conn)
    wanted = [change for change in found if change.target is not None or change.direction == "back"]
    return [change for change in wanted if not arrived(change) and change.problem is None]


def _tell(session: Session, change: Change, kind: str, error: OscError) -> None:
    session.listener(Report(kind=kind, change=change.id, message=f"{error.message}; {error.hint}"))  # type: ignore[arg-type]
