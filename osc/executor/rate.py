"""How fast something goes: over the last minutes, since the average from the beginning hides what happens now."""

from __future__ import annotations

from collections import deque

WINDOW_S = 120.0
"""The rate is over so long: windows, checkpoints and rests make a shorter one jump."""


class Rate:
    """Units a second of one thing after the other, each told by how much of it is done.

    What is told of another thing, or of less than before (a pass begins anew), begins another rate.
    """

    def __init__(self) -> None:
        self._of: object = None
        self._marks: deque[tuple[float, int]] = deque()

    def mark(self, of: object, now_s: float, done: int) -> float | None:
        """Count ``done`` units of ``of`` at ``now_s`` (a monotonic clock's); return the rate, ``None`` before there is one."""
        if of != self._of or (self._marks and done < self._marks[-1][1]):
            self._of = of
            self._marks.clear()
        self._marks.append((now_s, done))
        while self._marks[0][0] < now_s - WINDOW_S:
            self._marks.popleft()
        first_s, first = self._marks[0]
        return (done - first) / (now_s - first_s) if now_s > first_s else None
