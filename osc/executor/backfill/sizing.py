"""How many rows the next batch takes: pure, and the place where the engine's servo goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

GROWTH_MAX = 1.25
"""A batch grows by a quarter at most (hazards.md section 2): one quick batch must not make the next one slow."""
PANIC = 4.0
"""A batch that took so many times its target is quartered at once."""


@dataclass
class BatchSize:
    """Aims at ``target_ms`` of server time a batch, from the time the last one took; between ``rows_min`` and ``rows_max``."""

    target_ms: float
    rows: int
    rows_min: int
    rows_max: int

    def took(self, *, rows: int, ms: float) -> None:
        """Learn from a batch that looked at ``rows`` rows in ``ms``; a short last page teaches nothing."""
        if rows < self.rows or ms <= 0:
            return
        if ms > PANIC * self.target_ms:
            self._set(self.rows / 4)
            return
        factor = min(max(self.target_ms / ms, 0.5), GROWTH_MAX)
        # Up to the next whole row: a quarter of one or two rows is none, and the size would never recover.
        self._set(math.ceil(self.rows * factor) if factor > 1 else self.rows * factor)

    def halve(self) -> None:
        """Take half as many rows: the batch could not be done in its time, or holds a row that cannot be filled."""
        self._set(self.rows / 2)

    def _set(self, rows: float) -> None:
        self.rows = max(self.rows_min, min(self.rows_max, round(rows)))
