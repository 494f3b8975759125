"""Leadership of one change by this process: lease, heartbeat, sessions, and the end of what an older epoch left running."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid4

import anyio

from osc.clock import Clock, SystemClock
from osc.errors import LeaseLost, OutcomeUnknown
from osc.executor.reports import Listener, Report, silent
from osc.failpoints import failpoint
from osc.pg import activity
from osc.pg.gate import LockGate
from osc.pg.session import Connection, backend_of, close, connect, deadlock_timeout_ms, within
from osc.pg.target import Target
from osc.program import Phase, Program
from osc.settings import DEFAULTS, Settings
from osc.state import changes, lease
from osc.state.changes import Change

T = TypeVar("T")


class Redirected(Exception):
    """The wish for this change was changed (other direction, other target); the runner reads it anew."""


class PhaseReached(Exception):
    """The target was reached while looking for it; nothing is left to do."""


@dataclass
class Executor:
    """One process that can lead changes. ``owner`` is random: names and pids come back, a uuid does not (F13)."""

    target: Target
    kind: str
    settings: Settings = DEFAULTS
    clock: Clock = field(default_factory=SystemClock)
    listener: Listener = silent
    owner: UUID = field(default_factory=uuid4)
    gates: dict[int, LockGate] = field(default_factory=dict)

    def gate(self, deadlock_ms: int) -> LockGate:
        """Return the lock gate of this process; it remembers what each table has borne, so there is only one."""
        return self.gates.setdefault(deadlock_ms, LockGate(self.settings, self.clock, deadlock_ms))

    async def connect(self, change_id: str, purpose: str) -> Connection:
        """Return a pinned session for a change."""
        return await connect(self.target, purpose=f"{change_id}:{purpose}", settings=self.settings)

    @asynccontextmanager
    async def lead(self, change: Change) -> AsyncIterator[Lead | None]:
        """Lead ``change`` for the length of the block, or yield ``None`` while another executor does.

        Nothing of an older epoch is left running once the block begins. Inside, LeaseLost may come at any await.
        """
        async with AsyncExitStack() as stack:
            control = await self._session(stack, change.id, "control")
            await lease.register_executor(
                control, self.owner, host=socket.gethostname(), pid=os.getpid(), kind=self.kind
            )
            await failpoint("lease.before")
            epoch = await lease.take(control, change.number, self.owner, self.settings.lease_s)
            await failpoint("lease.after")
            if epoch is None:
                yield None
                return
            lead = await self._lead(stack, change, control, epoch)
            async with _heartbeats(lead, stack):
                await _end_old_epochs(lead)
                yield lead

    async def _session(self, stack: AsyncExitStack, change_id: str, purpose: str) -> Connection:
        conn = await self.connect(change_id, purpose)
        stack.push_async_callback(close, conn)
        return conn

    async def _lead(self, stack: AsyncExitStack, change: Change, control: Connection, epoch: int) -> Lead:
        heart = await self._session(stack, change.id, "heartbeat")
        observer = await self._session(stack, change.id, "observer")
        work = await self._session(stack, change.id, "work")
        deadlock_ms = await deadlock_timeout_ms(control, deadline_s=self.settings.query_deadline_s)
        lead = Lead(self, change, change.program(), epoch, control, heart, observer, work, deadlock_ms)
        for conn in (control, work):
            await lead.record(conn)
        return lead


@dataclass
class Lead:
    """What a leader has in hand while it leads. Sessions: ``control`` for the journal, ``work`` for what changes tables."""

    executor: Executor
    change: Change
    program: Program
    epoch: int
    control: Connection
    heart: Connection
    observer: Connection
    work: Connection
    deadlock_timeout_ms: int
    lost: LeaseLost | None = None
    wished: tuple[str, Phase | None] | None = None
    """Direction and target the runner is working on; when the row says otherwise, ``may_go_on`` raises Redirected."""

    @property
    def settings(self) -> Settings:
        return self.executor.settings

    @property
    def clock(self) -> Clock:
        return self.executor.clock

    @property
    def number(self) -> int:
        return self.change.number

    @property
    def who(self) -> str:
        return f"{self.executor.kind} {socket.gethostname()}:{os.getpid()}"

    async def ask(self, work: Awaitable[T]) -> T:
        """Await one exchange on the control session, with its deadline."""
        return await within(self.control, self.settings.query_deadline_s, work)

    async def record(self, conn: Connection) -> None:
        """Record the backend of ``conn`` before it works, so that a successor can end it (F03)."""
        backend = await backend_of(conn, deadline_s=self.settings.query_deadline_s)
        await self.ask(
            lease.record_backend(
                self.control, self.number, self.executor.owner, self.epoch, backend.pid, backend.backend_start
            )
        )

    async def worker(self, purpose: str) -> Connection:
        """Return another recorded session; the caller closes it."""
        conn = await self.executor.connect(self.change.id, purpose)
        try:
            await self.record(conn)
        except BaseException:
            await close(conn)
            raise
        return conn

    async def refresh(self) -> Change:
        """Read the change again."""
        self.change = await self.ask(changes.get(self.control, self.number))
        return self.change

    async def may_go_on(self) -> None:
        """Return when the next thing may begin; stay while the change is paused.

        Raises LeaseLost, or Redirected when somebody wished for another target.
        """
        told = False
        while True:
            if self.lost is not None:
                raise self.lost
            change = await self.refresh()
            if self.wished is not None and (change.direction, change.target) != self.wished:
                raise Redirected
            pause = change.effective_pause
            if pause is None:
                return
            if not told:
                self.report("waiting", f"paused by {pause.by}: {pause.reason or 'no reason given'}", waiting="paused")
                told = True
            await self.clock.sleep(self.settings.poll_s)

    def report(self, kind: str, message: str, **facts: object) -> None:
        """Tell the listener."""
        self.executor.listener(Report(kind=kind, change=self.change.id, message=message, **facts))  # type: ignore[arg-type]


@asynccontextmanager
async def _heartbeats(lead: Lead, stack: AsyncExitStack) -> AsyncIterator[None]:
    """Keep the lease alive beside the work; when it is lost, cancel the work and raise LeaseLost."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_beat, lead, group.cancel_scope)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        # One task of ours and the body: the body's error is the one to tell.
        raise _single(errors) from None
    finally:
        await _release(lead)
    if lead.lost is not None:
        raise lead.lost


def _single(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _beat(lead: Lead, scope: anyio.CancelScope) -> None:
    while True:
        await lead.clock.sleep(lead.settings.heartbeat_s)
        beat = lease.heartbeat(lead.heart, lead.number, lead.executor.owner, lead.epoch)
        if not await within(lead.heart, lead.settings.lease_s / 2, beat):
            lead.lost = LeaseLost(
                "another executor leads this change now; this one stopped and wrote nothing more",
                hint=f"osc status {lead.change.id}",
                facts={"change": lead.change.id, "epoch": lead.epoch},
            )
            scope.cancel()
            return


async def _release(lead: Lead) -> None:
    """Give the lead up at once, so that a successor need not wait for the lease to run out."""
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
        if not lead.control.closed and lead.lost is None:
            await within(
                lead.control,
                lead.settings.reply_grace_s,
                lease.release(lead.control, lead.number, lead.executor.owner, lead.epoch),
            )


async def _end_old_epochs(lead: Lead) -> None:
    """Terminate the recorded backends of older epochs and wait until they are gone (F03, F05, rationale.md 13)."""
    deadline = lead.clock.monotonic() + lead.settings.takeover_wait_s
    while True:
        alive = [one for one in await lead.ask(lease.old_backends(lead.control, lead.number, lead.epoch)) if one.alive]
        if not alive:
            break
        for one in alive:
            await activity.terminate(lead.observer, one.pid, one.backend_start)
        if lead.clock.monotonic() > deadline:
            pids = ", ".join(str(one.pid) for one in alive)
            raise OutcomeUnknown(
                f"backend {pids} of an executor that is gone still runs and does not end; nothing was begun",
                hint=f"look at pg_stat_activity, end it with pg_terminate_backend, then osc advance {lead.change.id}",
                facts={"pids": [one.pid for one in alive]},
            )
        await lead.clock.sleep(0.05)
    await lead.ask(lease.forget_backends(lead.control, lead.number, lead.epoch))
