"""Who waits while a signal holds the fill back, and says for what: all reasons, not only the first."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from osc.executor.backfill.pace import READ_EVERY_S, Pace
from osc.executor.explaining import said
from osc.executor.lead import Lead
from osc.executor.throttle.replicas import Replicas
from osc.executor.throttle.sessions import Sessions
from osc.executor.throttle.signal import Reading, Signal
from osc.executor.throttle.slots import Slots
from osc.executor.throttle.wal_rate import WalRate
from osc.pg.outcome import session_ended
from osc.program import FillStep
from osc.state import journal
from osc.state.journal import StepRow


def signals() -> list[Signal]:
    """Return a signal of each kind there is, with nothing seen yet."""
    return [Replicas(), Slots(), WalRate(), Sessions()]


@dataclass
class Throttle:
    """Between two batches: reads the signals that have a limit, about once a second, and rests while one is above it."""

    lead: Lead
    step: FillStep
    row: StepRow
    pace: Pace
    signals: list[Signal] = field(default_factory=signals)
    _read_at: float | None = None
    _resting: bool = False

    async def pass_through(self) -> None:
        """Return when nothing holds the fill back. Raises as ``Lead.may_go_on`` does."""
        if self._read_at is not None and self.lead.clock.monotonic() - self._read_at < READ_EVERY_S:
            return
        while over := [one for one in await self._read() if one.utilisation >= 1.0]:
            await self._tell([one.reason for one in over])
            await self.lead.wait(READ_EVERY_S)
            await self.pace.read()  # a limit that was turned meanwhile
        if self._resting:
            self._resting = False
            await self._waiting(None)

    async def _read(self) -> list[Reading]:
        now_s = self.lead.clock.monotonic()
        readings = [
            reading
            for signal in self.signals
            if (limit := self.pace.limits.get(signal.key)) is not None
            for reading in await self._ask(signal, limit, now_s)
        ]
        self._read_at = now_s
        return readings

    async def _ask(self, signal: Signal, limit: float, now_s: float) -> list[Reading]:
        """A signal that cannot be read stops the work: whoever wrote its limit relies on it."""
        try:
            return await signal.read(self.lead.observer, limit, now_s)
        except psycopg.Error as error:
            if session_ended(error):
                raise
            return [Reading(1.0, f"{signal.key} cannot be watched: {said(error)}")]

    async def _tell(self, reasons: list[str]) -> None:
        if not self._resting:
            self.lead.report("waiting", f"held back: {'; '.join(reasons)}", waiting="throttle", step=self.step.id)
        self._resting = True
        await self._waiting({"reasons": reasons})

    async def _waiting(self, detail: dict[str, object] | None) -> None:
        lead, row = self.lead, self.row
        kind = None if detail is None else "throttle"
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, kind, detail))
