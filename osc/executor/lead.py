"""Leadership of one change by this process: the lease, the sessions, and the question whether to go on."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import anyio

from osc.clock import Clock, SystemClock
from osc.errors import LeaseLost, TryAgainLater
from osc.executor import keeping
from osc.executor.explaining import mends_itself
from osc.executor.rate import Rate
from osc.executor.reports import Listener, Report, silent
from osc.names import QName
from osc.pg.gate import LockGate
from osc.pg.session import Connection, backend_of, close, connect, deadlock_timeout_ms, within
from osc.pg.target import Target
from osc.program import Phase, Program
from osc.settings import DEFAULTS, Settings
from osc.state import changes, events, lease, soundness
from osc.state.changes import Change, Standing
from osc.state.journal import StepRow
from osc.state.lease import Leader
from osc.state.refusals import older_state
from osc.state.schema import Home, ensure_home

T = TypeVar("T")


class Redirected(Exception):
    """The wish for this change was changed (other direction, other target); the runner reads it anew."""


@dataclass
class Executor:
    """One process that can lead changes. ``owner`` is random: names and pids come back, a uuid does not (F13)."""

    target: Target
    kind: str
    settings: Settings = DEFAULTS
    clock: Clock = field(default_factory=SystemClock)
    listener: Listener = silent
    stays_while_paused: bool = True
    """A command waits in a pause; a worker leaves the change and looks after others."""
    owner: UUID = field(default_factory=uuid4)
    gates: dict[int, LockGate] = field(default_factory=dict)
    home: Home | None = None
    """Where this process has worked so far; a session that turns out to be elsewhere is not worked on (F26)."""

    def gate(self, deadlock_ms: int) -> LockGate:
        """Return the lock gate of this process; it remembers what each table has borne, so there is only one."""
        return self.gates.setdefault(deadlock_ms, LockGate(self.settings, self.clock, deadlock_ms))

    async def connect(self, change_id: str, purpose: str) -> Connection:
        """Return a pinned session for a change; raise CopiedDatabase if it leads to another database than those before.

        Each session is asked: behind one address the next may be another server, with the same epochs in its state.
        """
        conn = await connect(self.target, purpose=f"{change_id}:{purpose}", settings=self.settings)
        try:
            self.home = await within(conn, self.settings.reply_deadline_s, ensure_home(conn, self.home))
        except BaseException:
            await close(conn)
            raise
        return conn

    @asynccontextmanager
    async def lead(self, change: Change, *, after_epoch: int | None = None) -> AsyncIterator[Lead | None]:
        """Lead ``change`` for the length of the block, or yield ``None`` while another executor does.

        Who led before in this run gives the epoch it had: if another came between, LeaseLost is raised (F05), and
        OlderState if the epoch went back: the state is from before this run.

        Nothing of an older epoch is left running once the block begins. Inside, LeaseLost may come at any await. The
        lead is given up at the end, unless an error ends it that taking it anew mends: then it is kept until it runs
        out, so that nobody else comes between.
        """
        async with AsyncExitStack() as stack:
            control = await self._session(stack, change.id, "control")
            before, epoch = await self._take(control, change, after_epoch)
            if epoch is None:
                yield None
                return
            lead: Lead | None = None
            try:
                lead = await self._lead(stack, change, control, epoch)
                async with keeping.heartbeats(lead):
                    await keeping.end_old_epochs(lead)
                    await _tell_takeover(lead, before)
                    yield lead
            except BaseException as error:
                if not mends_itself(error):
                    await keeping.release(self, control, change.number, epoch, lost=lead is not None and lead.is_lost)
                raise
            await keeping.release(self, control, change.number, epoch)

    async def _take(
        self, control: Connection, change: Change, after_epoch: int | None
    ) -> tuple[Leader | None, int | None]:
        """Return who led, and the new epoch if the lead is ours now."""
        deadline_s = self.settings.reply_deadline_s
        host, pid = socket.gethostname(), os.getpid()
        before = await within(control, deadline_s, lease.leader(control, change.number))
        standing = await within(control, deadline_s, changes.standing(control, change.number))
        await within(control, deadline_s, soundness.refuse_damage(control, change.number))
        if after_epoch is not None and standing.epoch is not None and standing.epoch < after_epoch:
            raise older_state(change.id, standing.epoch, after_epoch)
        # A try that took the lead and got no further, for want of a connection say, had a later epoch and was ours.
        ours = before is not None and before.owner == self.owner
        if after_epoch is not None and standing.epoch != after_epoch and not ours:
            raise keeping.lease_lost(change.id, after_epoch)
        await within(
            control, deadline_s, lease.register_executor(control, self.owner, host=host, pid=pid, kind=self.kind)
        )
        taking = lease.take(control, change.number, self.owner, self.settings.lease_s)
        epoch = await within(control, deadline_s, taking)
        return before, epoch

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
    gone: frozenset[QName] = frozenset()
    """On the way back: tables that somebody dropped, so that nothing of theirs is left to undo."""
    lost: LeaseLost | None = None
    row: StepRow | None = None
    """Of the step that runs, or ran last."""
    progress: Report | None = None
    """What was told of it last; noted in its row."""
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _rate: Rate = field(default_factory=Rate)
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
    def is_lost(self) -> bool:
        return self.lost is not None

    @property
    def who(self) -> str:
        return f"{self.executor.kind} {socket.gethostname()}:{os.getpid()}"

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Await one exchange on the control session, with its deadline; several lanes take turns."""
        try:
            await self._turn.acquire()
        except BaseException:
            work.close()  # cancelled before its turn: never begun, and Python complains of what nobody awaits
            raise
        try:
            return await within(self.control, self.settings.reply_deadline_s, work)
        finally:
            self._turn.release()

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

        Raises LeaseLost, or Redirected when somebody wished for another target; an executor that does not stay while
        paused gets TryAgainLater. To be asked only where what was begun can be begun again.
        """
        told = False
        while True:
            standing = await self._standing()
            if self.wished is not None and standing.wish != self.wished:
                raise Redirected
            pause = standing.pause
            if pause is None:
                return
            message = f"paused by {pause.by}: {pause.reason or 'no reason given'}"
            if not self.executor.stays_while_paused:
                raise TryAgainLater(f"{self.change.id} is {message}; nothing more is begun", hint="osc resume")
            if not told:
                self.report("waiting", message, waiting="paused")
                told = True
            await self.clock.sleep(self.settings.poll_s)

    async def wait(self, seconds: float) -> None:
        """Wait, asking ``may_go_on`` at least every ``poll_s``."""
        end_s = self.clock.monotonic() + seconds
        while (left_s := end_s - self.clock.monotonic()) > 0:
            await self.clock.sleep(min(left_s, self.settings.poll_s))
            await self.may_go_on()

    async def turned_round(self) -> bool:
        """Return whether a rollback was wished for while this process goes forward; raise LeaseLost."""
        standing = await self._standing()
        return self.wished is not None and self.wished[0] == "forward" and standing.direction == "back"

    async def _standing(self) -> Standing:
        if self.lost is not None:
            raise self.lost
        standing = await self.ask(changes.standing(self.control, self.number))
        if standing.epoch != self.epoch:
            raise keeping.lease_lost(self.change.id, self.epoch)
        self.change = replace(self.change, pacing=standing.pacing)  # may be described anew at any time
        return standing

    def report(self, kind: str, message: str, **facts: object) -> None:
        """Tell the listener; of progress the rate too, and keep it for whoever asks status."""
        report = Report(kind=kind, change=self.change.id, message=message, **facts)  # type: ignore[arg-type]
        if report.kind == "progress":
            of = (report.step, report.facts.get("phase"))
            report = replace(report, rate=self._rate.mark(of, self.clock.monotonic(), report.done or 0))
            self.progress = report
        self.executor.listener(report)

    def begins(self, row: StepRow) -> None:
        """Take ``row`` for the step that runs from now on; nothing is known of its progress."""
        self.row, self.progress = row, None


async def _tell_takeover(lead: Lead, before: Leader | None) -> None:
    """Record that the lead was taken from an executor that had not given it up."""
    if before is None or before.owner == lead.executor.owner:
        return
    data = {"from": f"{before.kind} {before.host}:{before.pid}", "from_epoch": before.epoch, "to": lead.who}
    await lead.ask(events.record(lead.control, lead.number, "takeover", data, who=lead.who, epoch=lead.epoch))
    lead.report("note", f"took the lead over from {data['from']}, which does not answer any more")
