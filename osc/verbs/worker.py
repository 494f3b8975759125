"""worker: one process that brings every change to its target, in turn; what ``--detach`` leaves its wishes to."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from osc.errors import GateClosed, NotPrimary, OscError, TryAgainLater, Unreachable
from osc.executor.explaining import mends_itself
from osc.executor.helping import help_out
from osc.executor.lead import Executor
from osc.executor.reports import Report
from osc.executor.runner import run_change
from osc.state import changes
from osc.state.changes import Change
from osc.verbs.moving import arrived, executor
from osc.verbs.session import Session


async def worker(session: Session, *, once: bool = False, poll_s: float | None = None) -> None:
    """Take the open changes in turn, for ever or ``once``; a change that stops is told and left for its person.

    A change with a problem is not tried again until somebody asks for it: repeating blindly helps nobody. One that
    waits for a gate is asked again, ever less often. A server that goes away is waited for.
    """
    turns = _Turns(session, executor(session, "worker"))
    while True:
        try:
            await turns.take_all()
        except (psycopg.Error, OSError, Unreachable, NotPrimary) as error:
            if once or not mends_itself(error):
                raise
            session.listener(Report(kind="note", change="", message=f"the server cannot be reached: {error}"))
        if once:
            return
        await session.clock.sleep(poll_s if poll_s is not None else session.settings.worker_poll_s)


@dataclass
class _Turns:
    """The changes as this worker meets them, and when those that were not ready are due again."""

    session: Session
    runner: Executor
    due: dict[int, float] = field(default_factory=dict)
    pauses: dict[int, float] = field(default_factory=dict)

    async def take_all(self) -> None:
        for change in await self._wanting():
            if self.session.clock.monotonic() >= self.due.get(change.number, 0.0):
                await self._take(change)

    async def _wanting(self) -> list[Change]:
        async with self.session.state("worker:look") as conn:
            found = await changes.open_changes(conn)
        wanted = [change for change in found if change.target is not None or change.direction == "back"]
        ready = [change for change in wanted if change.problem is None and change.effective_pause is None]
        return [change for change in ready if not arrived(change)]

    async def _take(self, change: Change) -> None:
        try:
            if await run_change(self.runner, change) is None:
                await help_out(self.runner, change)
        except (GateClosed, TryAgainLater) as closed:
            self._tell(change, "waiting", closed)
            self._later(change)
        except (Unreachable, NotPrimary):
            raise
        except OscError as error:
            self._tell(change, "note", error)
        else:
            self.due.pop(change.number, None)
            self.pauses.pop(change.number, None)

    def _later(self, change: Change) -> None:
        settings = self.session.settings
        pause = min(self.pauses.get(change.number, settings.worker_poll_s / 2) * 2, settings.worker_gate_poll_max_s)
        self.pauses[change.number] = pause
        self.due[change.number] = self.session.clock.monotonic() + pause

    def _tell(self, change: Change, kind: str, error: OscError) -> None:
        told = error.redacted() if self.session.settings.redact else error
        message = f"{told.message}; {told.hint}"
        self.session.listener(Report(kind=kind, change=change.id, message=message))  # type: ignore[arg-type]
