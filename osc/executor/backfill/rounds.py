"""A round: some windows that are filled share by share, ahead of the checkpoint, and then ended one after the other.

Each wave goes through a window in pieces of as many blocks as take about the time of a batch: one that moves rows to
other blocks costs many times what one costs that finds room, and how long a batch may take can change at any moment.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from osc.executor.backfill.lengths import Sizes
from osc.executor.backfill.windows import Window
from osc.sql.pages import position
from osc.state.slices import Key


@dataclass(frozen=True, slots=True)
class Piece:
    """Some blocks of a window, of which one share is to be filled."""

    window: Window
    number: int
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
                if not is_last or window.blocks > sizes.staying.rows:
                    self._due.append((number, window))

    def give_up(self) -> None:
        """Forget the windows; what waves have filled of them stays filled, and is passed over when they are cut anew."""
        self.windows.clear()
        self._due.clear()
        self._at = None

    def next(self, sizes: Sizes) -> Piece | None:
        """Return the next piece of the wave that is due; ``None`` when all have gone through."""
        if not self._due:
            return None
        number, window = self._due[0]
        assert window.ground is not None
        first, last = window.ground
        whole = Piece(window, number, first, last, window.blocks)
        begin = self._at if self._at is not None else window.first_block
        left = window.first_block + window.blocks - begin
        blocks = math.ceil(left / math.ceil(left / sizes.of(moves=whole.moves).rows))
        lo = first if self._at is None else position(begin)
        hi = last if blocks >= left else position(begin + blocks)
        return Piece(window, number, lo, hi, blocks)

    def done(self, piece: Piece) -> None:
        """Go on behind ``piece``."""
        number, window = self._due[0]
        assert (number, window) == (piece.number, piece.window)
        begin = (self._at if self._at is not None else window.first_block) + piece.blocks
        if begin >= window.first_block + window.blocks:
            self._due.popleft()
            self._at = None
        else:
            self._at = begin

    @property
    def is_ahead(self) -> bool:
        """Whether waves are still to go through the windows."""
        return bool(self._due)
