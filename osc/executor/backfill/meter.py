"""Progress of a fill, for whoever listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.executor.lead import Lead
from osc.program import FillStep

if TYPE_CHECKING:
    from osc.executor.backfill.lane import Lane


class Meter:
    """Progress of a fill, told once a second: rows, and an estimate of the whole.

    The lanes of a process share one.
    """

    def __init__(self, lead: Lead, step: FillStep, *, seen: int) -> None:
        self._lead, self._step, self.seen = lead, step, seen
        table = lead.program.phase(step.phase).expects.table(step.table)
        self._total = table.rows_estimate if table else 0
        self._told_s = lead.clock.monotonic()
        self.lanes: list[Lane] = []
        """Those that walk now."""
        self._ended = {"filled": 0, "skipped": 0, "poison": 0, "counted": 0, "hot": 0}

    def end(self, lane: Lane) -> None:
        """Count what a lane did, now that it is done with its slice."""
        self.lanes.remove(lane)
        for key in self._ended:
            self._ended[key] += getattr(lane, key)

    def add(self, rows: int) -> None:
        """Count ``rows`` and tell the listener once a second."""
        self.seen += rows
        now_s = self._lead.clock.monotonic()
        if now_s - self._told_s < 1.0:
            return
        self._told_s = now_s
        total = max(self._total, self.seen) or None
        self._lead.report("progress", f"{self._step.table}: {self.seen} rows", step=self._step.id, done=self.seen, total=total,
                          facts=self._facts())  # fmt: skip

    def _facts(self) -> dict[str, object]:
        sums = {key: ended + sum(getattr(lane, key) for lane in self.lanes) for key, ended in self._ended.items()}
        counted, hot = sums.pop("counted"), sums.pop("hot")
        return {
            "batch_rows": round(
                sum(lane.size.rows * lane.rows_per_unit for lane in self.lanes) / max(1, len(self.lanes))
            ),
            **sums,
            "lanes": len(self.lanes),
            "waves": max((lane.waves.now for lane in self.lanes), default=1),
            "hot_share": round(hot / counted, 3) if counted else None,
        }
