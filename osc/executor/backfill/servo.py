"""How many rows the next batch takes: pure, so that a made-up server can drive it.

The control law is that of hazards research on adaptive batching in GitLab (batched background migrations) and Spirit
(dynamic chunk sizing): a cost per row, robust against single slow batches, steps that are small upward and large
downward, and a panic that does not wait for statistics.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

GROWTH_MAX = 1.25
"""A batch grows by a quarter at most: one quick batch must not make the next one slow. Spirit steps by 1.5, GitLab by 1.2."""
SHRINK_MAX = 0.5
PANIC = 4.0
"""A batch that took so many times its target is quartered at once, and what was known before it is forgotten (Spirit: 5, to a tenth)."""
SAMPLES = 10
"""The cost of a row is the 90th percentile of so many batches (Spirit); of fewer, a moving average."""
PERCENTILE = 0.9
WEIGHT = 0.3
"""Of the newest batch in the moving average."""
DEAD_BAND = 0.2
"""Nearer to the target than this share nothing is changed."""
SPARSE = 0.5
"""Where less than this share of the rows needed work, a batch was quick because it did little, and teaches no growth
(GitLab, merge request 85152: sizes had grown until the first dense batch was far too slow)."""
WAL_MAX_BYTES = 16 << 20
"""A batch writes one segment's worth of WAL at most: full-page images after a checkpoint can be many times the rows."""


@dataclass
class Servo:
    """Aims at ``target_ms`` of server time a batch; ``rows`` is the size of the next, between ``rows_min`` and ``rows_max``."""

    target_ms: float
    rows: int
    rows_min: int
    rows_max: int
    wal_max_bytes: int = WAL_MAX_BYTES
    _costs: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _average: float | None = None

    def took(
        self, *, rows: int, ms: float, asked: int | None = None, filled: float | None = None, wal_bytes: int = 0,
        held: bool = False,
    ) -> None:  # fmt: skip
        """Learn from a batch that looked at ``rows`` rows and filled some of them in ``ms`` of server time.

        A short last page teaches nothing: ``asked`` is how many it was to take, if not ``self.rows``. ``wal_bytes`` is
        what it wrote at most. ``held``: a limit is near or was reached, and a fill that is held back grows no batches
        (hazards.md section 2).
        """
        if rows < (asked or self.rows) or ms <= 0:
            return
        if ms > PANIC * self.target_ms:
            self._forget()
            self._set(min(self.rows, rows) / PANIC)
            return
        want = self.target_ms / self._cost(ms / rows)
        if wal_bytes:
            want = min(want, rows * self.wal_max_bytes / wal_bytes)
        ratio = want / self.rows
        is_sparse = filled is not None and filled < SPARSE * rows
        if abs(ratio - 1) < DEAD_BAND or (ratio > 1 and (is_sparse or held)):
            return
        factor = min(max(ratio, SHRINK_MAX), GROWTH_MAX)
        # Up to the next whole row: a quarter of one or two rows is none, and the size would never recover.
        self._set(min(math.ceil(self.rows * factor), math.floor(want)) if factor > 1 else self.rows * factor)

    def halve(self, asked: int | None = None) -> None:
        """Take half as many rows: the batch, of ``asked`` if not ``self.rows``, could not be done in its time, or holds
        a row that cannot be filled.
        """
        self._set(min(self.rows, self.rows if asked is None else asked) / 2)

    def in_time(self, ms: float) -> float | None:
        """Return how many rows take so long, as far as is known; ``None`` where nothing is."""
        return None if self._average is None else ms / self._average

    def _cost(self, newest: float) -> float:
        """Return the milliseconds that a row costs, as far as is known with the newest batch."""
        self._costs.append(newest)
        self._average = newest if self._average is None else WEIGHT * newest + (1 - WEIGHT) * self._average
        if len(self._costs) < SAMPLES:
            return self._average
        return sorted(self._costs)[math.ceil(PERCENTILE * SAMPLES) - 1]

    def _forget(self) -> None:
        self._costs.clear()
        self._average = None

    def _set(self, rows: float) -> None:
        self.rows = max(self.rows_min, min(self.rows_max, round(rows)))
