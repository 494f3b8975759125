"""Who waits while a signal holds the fill back, and says for what: all reasons, not only the first."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio

from osc.executor.backfill.bloat import PURPOSE
from osc.executor.backfill.pace import Pace
from osc.executor.keeping import beside
from osc.executor.lead import Lead
from osc.executor.throttle.ages import MultixactAge, XidAge
from osc.executor.throttle.archiver import Archiver
from osc.executor.throttle.at_work import AtWork
from osc.executor.throttle.dead_rows import DeadRows
from osc.executor.throttle.disk import Disk
from osc.executor.throttle.hours import Hours
from osc.executor.throttle.panel import Panel
from osc.executor.throttle.replicas import Chosen, ReplicaBytes, Replicas, chosen_of
from osc.executor.throttle.sessions import LockWaiters, Sessions
from osc.executor.throttle.signal import Reading, Signal
from osc.executor.throttle.signs import Signs
from osc.executor.throttle.slots import Slots
from osc.executor.throttle.vacuum import Vacuum
from osc.executor.throttle.waiters import LOOK_EVERY_S, Waiters
from osc.executor.throttle.wal_rate import WalRate
from osc.executor.throttle.xmin import Xmin
from osc.pg.session import application_name
from osc.program import FillStep
from osc.state import events, journal
from osc.state.journal import StepRow

NEAR = 0.8
"""From this utilisation on nothing grows: neither batches nor the number of lanes."""
NEAR_FOR_S = 5.0
"""A limit that was reached counts as near for so long: what has just been too much is not made more at once."""
LOOK_AGAIN_S = 1.0
"""Between two looks while the fill rests."""
SHOWN_AFTER_S = 0.5
"""A rest that is over by then is part of the pace and not written down."""
TOLD_AFTER_S = 10.0
"""A rest that lasts so long is an event of the history, and so is its end."""


@dataclass
class Throttle:
    """Holds back every lane of a fill that asks between two batches; the lanes of a process share one.

    Whoever finds a signal stale reads it; the others wait for the same answer. ``utilisation`` costs nothing.
    """

    lead: Lead
    step: FillStep
    row: StepRow
    pace: Pace
    panel: Panel = field(init=False)
    _waiters: Waiters = field(init=False)
    _at_work: AtWork = field(default_factory=AtWork)
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _since_s: float | None = None
    _over_at_s: float | None = None
    _is_shown: bool = False
    _is_told: bool = False

    def __post_init__(self) -> None:
        self._waiters = Waiters(application_name(f"{self.lead.change.id}:fill"))
        self.panel = Panel(self._signals(), self.pace.limits, self._note)

    @property
    def utilisation(self) -> float:
        """The most that any signal said last, 0.0 where none is watched; at 1.0 the fill rests."""
        return self.panel.utilisation

    @property
    def is_near(self) -> bool:
        """Whether a limit is so near, or was reached so lately, that nothing may grow."""
        lately = self._over_at_s is not None and self.lead.clock.monotonic() - self._over_at_s < NEAR_FOR_S
        return lately or self.utilisation >= NEAR

    async def pass_through(self) -> None:
        """Return when nothing holds the fill back. Raises as ``Lead.may_go_on`` does."""
        if self.utilisation < 1.0 and self.panel.is_fresh(self.lead.clock.monotonic()):
            return
        async with self._turn:
            while over := [one for one in await self._read() if one.utilisation >= 1.0]:
                await self._rest(over)
                await self.pace.read()  # a limit that was turned meanwhile
                self.panel.limits = self.pace.limits
            await self._go_on()

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Look for who waits for our locks while batches run: between them nobody does."""
        return beside(self._watch)

    async def _watch(self) -> None:
        while True:
            await self.lead.clock.sleep(LOOK_EVERY_S)
            seen = await self.panel.read_one(self.lead.observer, self._waiters, self.lead.clock.monotonic())
            self.pace.give_way(any(one.utilisation >= 1.0 for one in seen))
            await self.panel.read_one(self.lead.observer, self._at_work, self.lead.clock.monotonic())
            self.pace.others_at_work = self._at_work.are

    async def _read(self) -> list[Reading]:
        self.panel.limits = self.pace.limits
        readings = await self.panel.read(self.lead.observer, self.lead.clock.monotonic())
        self.pace.others_at_work = self._at_work.are
        return readings

    async def _rest(self, over: list[Reading]) -> None:
        now_s, reasons = self.lead.clock.monotonic(), [one.reason for one in over]
        self._over_at_s, self._since_s = now_s, now_s if self._since_s is None else self._since_s
        rested_s = now_s - self._since_s
        if rested_s >= SHOWN_AFTER_S:
            await self._show(reasons)
        if rested_s >= TOLD_AFTER_S and not self._is_told:
            self._is_told = True
            await self._record("held back", {"reasons": reasons})
        await self.lead.wait(min(LOOK_AGAIN_S, *(max(0.1, one.stale_after_s) for one in over)))

    async def _go_on(self) -> None:
        if self._is_shown:
            await self._waiting(None)
        if self._is_told and self._since_s is not None:
            await self._record("went on", {"rested_s": round(self.lead.clock.monotonic() - self._since_s)})
        self._since_s, self._is_shown, self._is_told = None, False, False

    async def _show(self, reasons: list[str]) -> None:
        if not self._is_shown:
            self.lead.report("waiting", f"held back: {'; '.join(reasons)}", waiting="throttle", step=self.step.id)
        self._is_shown = True
        await self._waiting({"reasons": reasons})

    async def _waiting(self, detail: dict[str, object] | None) -> None:
        lead, row = self.lead, self.row
        kind = None if detail is None else "throttle"
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, kind, detail))

    async def _record(self, kind: str, data: dict[str, object]) -> None:
        lead = self.lead
        told = {"step": self.step.id, **data}
        await lead.ask(events.record(lead.control, lead.number, kind, told, who=lead.who, epoch=lead.epoch))

    def _note(self, message: str) -> None:
        self.lead.report("note", message, step=self.step.id)

    def _signals(self) -> list[Signal]:
        def chosen() -> Chosen:
            return chosen_of(self.pace.limits.get("replicas"))

        table, ours = self.step.table, application_name(f"{self.lead.change.id}:{PURPOSE}")
        found: list[Signal] = [
            Replicas(chosen), ReplicaBytes(chosen), Slots(), WalRate(), Archiver(), self._waiters, self._at_work, LockWaiters(), Sessions(),
            Vacuum(table, ours), DeadRows(table), Xmin(), XidAge(), MultixactAge(), Disk(table),
            Signs(self.lead.settings.gate_http_timeout_s),
        ]  # fmt: skip
        # Hours are for the fill; a way back is taken when somebody wants it.
        return found if self.row.state == "undoing" else [*found, Hours()]
