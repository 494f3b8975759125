"""What a lane has done, counted: pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Rows that were ``filled``, left because they were locked (``skipped``), and named because they cannot be (``poison``).

    ``counted`` are updates of which is known whether they were HOT, and ``hot`` those that were.
    """

    filled: int = 0
    counted: int = 0
    hot: int = 0
    skipped: int = 0
    poison: int = 0
    _noted: tuple[int, int, int] = field(default=(0, 0, 0), init=False)

    def count_hot(self, rows: int, hot: int) -> None:
        """Count ``rows`` updates, of which about ``hot`` were HOT: the server counts those of triggers as well."""
        self.counted += rows
        self.hot += min(hot, rows)

    def news(self) -> tuple[int, int, int]:
        """Return how many rows were filled, counted and HOT since it was asked last."""
        now = (self.filled, self.counted, self.hot)
        filled, counted, hot = (new - old for new, old in zip(now, self._noted, strict=True))
        self._noted = now
        return filled, counted, hot
