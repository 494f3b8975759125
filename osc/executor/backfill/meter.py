"""Progress of a fill, for whoever listens."""

from __future__ import annotations

from osc.executor.backfill.lane import Lane
from osc.executor.lead import Lead
from osc.program import FillStep


class Meter:
    """Progress of a fill, told once a second: rows, rate over the last seconds, estimate of the whole."""

    WINDOW_S = 30.0

    def __init__(self, lead: Lead, step: FillStep, *, seen: int) -> None:
        self._lead, self._step, self._seen = lead, step, seen
        table = lead.program.phase(step.phase).expects.table(step.table)
        self._total = table.rows_estimate if table else 0
        self._marks = [(lead.clock.monotonic(), seen)]

    async def add(self, rows: int, lane: Lane) -> None:
        """Count ``rows`` and tell the listener once a second."""
        self._seen += rows
        now = self._lead.clock.monotonic()
        if now - self._marks[-1][0] < 1.0:
            return
        self._marks.append((now, self._seen))
        self._marks = [mark for mark in self._marks if mark[0] > now - self.WINDOW_S] or self._marks[-1:]
        first = self._marks[0]
        rate = (self._seen - first[1]) / (now - first[0]) if now > first[0] else None
        total = max(self._total, self._seen) or None
        self._lead.report("progress", f"{self._step.table}: {self._seen} rows", step=self._step.id, done=self._seen, total=total, rate=rate,
                          facts={"batch_rows": lane.size.rows, "filled": lane.filled, "skipped": lane.skipped,
                                 "poison": lane.poison})  # fmt: skip
