"""How long windows and statements are, in the walk's own units (rows along a key, blocks of the heap): learnt, and pure.

``size`` is what one statement without waves takes. A window with waves is longer, they go through it in pieces, and
what ends it may be cut in parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from osc.executor.backfill.servo import Servo
from osc.executor.backfill.windows import Window
from osc.settings import Settings

BLOCKS_MAX = 4_096
"""A window has so many blocks at most (32 MB): those of a round stay in memory between two waves, as small as that is."""
PIECE_SHARE = 0.3
"""A piece aims at this share of a batch's time. The snapshot of a statement that began before a wave keeps its dead versions
from being pruned by the next, in other lanes: so each must be short against the time a wave takes through the round."""
ENDED_AT_ONCE = 2
"""What ends a window may go through so many times as many blocks as a piece that finds room: it writes less."""
GROWTH = 4
"""A round that is done makes the windows of the next so many times longer."""


@dataclass
class Sizes:
    """How many blocks a piece may have: of shares that move rows, and of those that find room."""

    moving: Servo
    staying: Servo

    @classmethod
    def first(cls, blocks: int, target_ms: float) -> Sizes:
        """Return sizes that begin with so many blocks."""
        return cls(Servo(target_ms, blocks, 1, BLOCKS_MAX), Servo(target_ms, blocks, 1, BLOCKS_MAX))

    def of(self, *, moves: bool) -> Servo:
        return self.moving if moves else self.staying

    def aim(self, target_ms: float) -> None:
        self.moving.target_ms = self.staying.target_ms = target_ms


@dataclass
class Lengths:
    """Handed on from slice to slice, as long as the walk counts in the same units."""

    size: Servo
    by_blocks: bool
    rows_per_block: float
    reach: int = GROWTH
    """So many times as long as shares of one statement make a window it is: more after each round that was done."""
    pieces: Sizes | None = None
    """None before the first round."""

    @classmethod
    def first(cls, settings: Settings, target_ms: float, *, by_blocks: bool, rows_per_block: float) -> Lengths:
        """Return lengths that begin small."""
        per_unit = rows_per_block if by_blocks else 1.0

        def units(rows: int) -> int:
            return max(1, round(rows / per_unit))

        first, most = units(settings.batch_rows_first), units(settings.batch_rows_max)
        return cls(Servo(target_ms, first, settings.batch_rows_min, most), by_blocks, rows_per_block)

    @property
    def rows_per_unit(self) -> float:
        """How many rows a unit holds, about."""
        return self.rows_per_block if self.by_blocks else 1.0

    def rows_at_once(self, waves: int) -> float:
        """Return about how many rows one statement fills."""
        if self.pieces is None or waves == 1:
            return self.size.rows * self.rows_per_unit
        return self.pieces.staying.rows * self.rows_per_block / waves

    def window(self, waves: int) -> int:
        """Return how long a window with so many waves is: short at first, as nobody knows yet what its rows cost."""
        return max(1, min(self.size.rows * waves * self.reach, self._longest(waves)))

    def aimed(self, window: Window) -> Sizes:
        """Return the sizes of pieces, aimed at their share of a batch's time now."""
        target_ms = PIECE_SHARE * self.size.target_ms
        if self.pieces is None:
            self.pieces = Sizes.first(self._first_piece(window, target_ms), target_ms)
        self.pieces.aim(target_ms)
        return self.pieces

    def _first_piece(self, window: Window, target_ms: float) -> int:
        """Return how many blocks a piece has before any was done: a share of their rows takes as long as plain batches say."""
        known = self.size.in_time(target_ms)
        units = (self.size.rows if known is None else known) * len(window.shares)
        return max(1, min(window.blocks, round(units if self.by_blocks else units / self.rows_per_block)))

    def grow(self, waves: int) -> None:
        """Make the windows of the next round longer, unless they are as long as may be."""
        if self.window(waves) < self._longest(waves):
            self.reach *= GROWTH

    def shrink(self) -> None:
        """Make the windows of the next round shorter."""
        self.reach = max(1, self.reach // GROWTH)

    def end(self, window: Window) -> int:
        """Return how much of a window one statement may end: behind waves nearly all of it is only read, yet all of it."""
        if not window.has_waves or self.pieces is None:
            return window.units
        blocks = ENDED_AT_ONCE * self.pieces.staying.rows
        if blocks >= window.blocks:
            return window.units
        return min(window.units, max(self.size.rows, blocks if self.by_blocks else round(blocks * self.rows_per_block)))

    def shorten_end(self, window: Window) -> bool:
        """End less of a window behind waves at once, for it took too long; return whether that is less at all."""
        before = self.end(window)
        if window.has_waves and self.pieces is not None:
            self.pieces.staying.halve(window.blocks // ENDED_AT_ONCE)
            self.size.halve()
        return self.end(window) < before

    def _longest(self, waves: int) -> int:
        units = BLOCKS_MAX if self.by_blocks else round(BLOCKS_MAX * self.rows_per_block)
        return min(self.size.rows_max * waves, units)
