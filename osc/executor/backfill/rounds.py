"""A round: some windows that are filled share by share, ahead of the checkpoint, and then ended one after the other.

Each wave goes through a window in pieces of as many blocks as take about the time of a batch: one that moves rows to
other blocks costs many times what one costs that finds room, and how long a batch may take can change at any moment.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from osc.executor.backfill.lengths import Sizes
from osc.executor.backfill.windows import Window
from osc.sql.pages import position
from osc.state.slices import Key


@dataclass(frozen=True, slots=True)
class Piece:
    """Some blocks of a window, of which one share is to be filled."""

    window: Window
    number: int
    first_block: int
    lo: Key | None
    hi: Key | None
    blocks: int

    @property
    def moves(self) -> bool:
        """Whether rows are moved to other blocks, to make room."""
        return self.number < self.window.shares.moving


@dataclass
class Round:
    """``windows`` whose end the checkpoint has not reached; none outside of a round."""

    windows: deque[Window] = field(default_factory=deque)
    _due: deque[tuple[int, Window]] = field(default_factory=deque)
    """Waves that run ahead of the checkpoint."""
    _at: int | None = None
    """From which block on the first of them is to go on; ``None``: it has not begun."""

    def begin(self, windows: list[Window], sizes: Sizes | None = None) -> None:
        """Begin with these windows, all cut in the same shares.

        The last share is left to the statement that ends a window, where that is no more than a piece.
        """
        self.give_up()
        self.windows.extend(windows)
        if sizes is None:
            return
        for number in range(len(windows[0].shares)):
            for window in windows:
                is_last = number == len(window.shares) - 1
                if not is_last or _cut(window.blocks, sizes.staying.rows) < window.blocks:
                    self._due.append((number, window))

    def give_up(self) -> None:
        """Forget the windows; what waves have filled of them stays filled, and is passed over when they are cut anew."""
        self.windows.clear()
        self._due.clear()
        self._at = None

    def take(self, sizes: Sizes) -> Piece | None:
        """Return the next piece of the wave that is due, and go on behind it; ``None`` when all have gone through."""
        if not self._due:
            return None
        number, window = self._due[0]
        assert window.ground is not None
        first, last = window.ground
        begin = window.first_block if self._at is None else self._at
        left = window.first_block + window.blocks - begin
        whole = Piece(window, number, begin, first if begin == window.first_block else position(begin), last, left)
        blocks = _cut(left, sizes.of(moves=whole.moves).rows)
        if blocks >= left:
            self._due.popleft()
            self._at = None
            return whole
        self._at = begin + blocks
        return replace(whole, hi=position(self._at), blocks=blocks)

    def put_back(self, piece: Piece) -> None:
        """Go on with ``piece`` once more, which was taken last, or before those that were put back already."""
        if not self._due or self._due[0] != (piece.number, piece.window):
            self._due.appendleft((piece.number, piece.window))
        self._at = piece.first_block

    @property
    def is_ahead(self) -> bool:
        """Whether waves are still to go through the windows."""
        return bool(self._due)


def _cut(blocks: int, size: int) -> int:
    """Return how long the first of some pieces of equal length is, each about as long as ``size``.

    One is up to half as long again, rather than that what is hardly longer than one is cut in two that are half empty.
    """
    return math.ceil(blocks / max(1, round(blocks / size)))
