"""Progress of a fill, for whoever listens: of all its slices, whichever process walks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.executor.lead import Lead
from osc.program import FillStep
from osc.state import slices

if TYPE_CHECKING:
    from osc.executor.backfill.lane import Lane
    from osc.state.slices import Progress

EVERY_S = 1.0


class Meter:
    """Counts what the lanes of this process do, and tells once a second how far the whole fill is.

    That is read from the slices: each batch counts its rows there, so nothing is lost or counted twice when a process
    comes, dies or takes over a slice of another.
    """

    def __init__(self, lead: Lead, step: FillStep) -> None:
        self._lead, self._step = lead, step
        table = lead.program.phase(step.phase).expects.table(step.table)
        self._rows_estimate = table.rows_estimate if table else 0
        self._looked_s = lead.clock.monotonic()
        self._told: int | None = None
        self.seen = 0
        """Rows that lanes of this process have walked over."""
        self.lanes: list[Lane] = []
        """Those of this process that walk now."""

    def add(self, rows: int) -> None:
        """Count ``rows`` of a lane of this process."""
        self.seen += rows

    async def tell(self) -> None:
        """Tell the listener how far the fill is, unless it was asked less than a second ago, or nothing was walked since."""
        now_s = self._lead.clock.monotonic()
        if now_s - self._looked_s < EVERY_S:
            return
        self._looked_s = now_s
        found = await self._lead.ask(slices.progress(self._lead.control, [self._lead.number]))
        now = next((one for one in found if one.step == self._step.id), None)
        if now is None or now.rows_seen == self._told:
            return
        self._told = now.rows_seen
        total = max(self._rows_estimate, now.rows_seen) or None
        self._lead.report("progress", f"{self._step.table}: {now.rows_seen} rows", step=self._step.id, done=now.rows_seen,
                          total=total, facts=self._facts(now))  # fmt: skip

    def _facts(self, now: Progress) -> dict[str, object]:
        rows = sum(lane.rows_at_once for lane in self.lanes)
        return {
            "batch_rows": round(rows / max(1, len(self.lanes))),
            "filled": now.rows_filled,
            "skipped": now.rows_skipped,
            "poison": now.rows_poison,
            "lanes": now.lanes,
            "waves": now.waves or 1,
            "hot_share": round(now.rows_hot / now.rows_waved, 3) if now.rows_waved else None,
        }
