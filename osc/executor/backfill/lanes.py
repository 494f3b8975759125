"""How many lanes walk at the same time: as many as was asked for, or as many as the signals allow and the rate rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from osc.clock import Clock
from osc.executor.backfill.pace import AUTO, LANES_AUTO_MAX, Pace

LOOK_EVERY_S = 10.0
"""A lane has to begin, to find the size of its batches and to show in the rate, before another is judged."""
REWARD = 1.1
"""A lane more must bring so much, or it only takes from the application what it gives to the fill."""
BACK_AFTER = 12
"""So many looks after a lane too many was taken away another is tried."""


class Signals(Protocol):
    """What a throttle tells of harm."""

    @property
    def is_near(self) -> bool: ...


class Rate(Protocol):
    """What a meter tells of speed."""

    @property
    def seen(self) -> int: ...


@dataclass
class Lanes:
    """``wanted`` lanes are to be at work; with ``auto`` it climbs while the rate does, and falls when a limit is near."""

    pace: Pace
    signals: Signals
    rate: Rate
    clock: Clock
    wanted: int = 1
    _looked_s: float | None = None
    _seen: int = 0
    _rate_before: float | None = None
    """Of the last interval with a lane less; ``None`` once that lane was judged."""
    _waits: int = 0

    def look(self, running: int) -> None:
        """Judge the lanes ``running``, at most once an interval."""
        if self.pace.lanes != AUTO:
            self.wanted = int(self.pace.lanes)
            return
        now_s = self.clock.monotonic()
        if self._looked_s is None:
            self._looked_s, self._seen, self.wanted = now_s, self.rate.seen, 1
            return
        if self.signals.is_near and self.wanted > 1 and now_s - self._looked_s >= 1.0:
            self._set(self.wanted - 1, now_s)
            return
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        rate = (self.rate.seen - self._seen) / (now_s - self._looked_s)
        self._judge(rate, running, now_s)

    def _judge(self, rate: float, running: int, now_s: float) -> None:
        self._waits = max(0, self._waits - 1)
        if self._rate_before is not None and rate < self._rate_before * REWARD:
            self._waits = BACK_AFTER
            self._set(self.wanted - 1, now_s)
        elif running >= self.wanted and self.wanted < LANES_AUTO_MAX and not self.signals.is_near and not self._waits:
            self._set(self.wanted + 1, now_s)
            self._rate_before = rate
        else:
            self._set(self.wanted, now_s)

    def _set(self, lanes: int, now_s: float) -> None:
        self.wanted, self._rate_before = max(1, lanes), None
        self._looked_s, self._seen = now_s, self.rate.seen
