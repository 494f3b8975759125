"""The windows of a slice, in its walk's own units: rows behind a key, or blocks of the heap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from osc.executor.backfill.session import LaneSession
from osc.executor.backfill.waves import WHOLE, Shares
from osc.program.steps import Walk
from osc.sql.pages import block_of, position
from osc.state.slices import Key, Slice

BLOCKS_SPREAD_MAX = 4
"""So many times as many blocks as its rows would fill a window of keys may lie in, and a few more; in others no waves go."""
BLOCKS_SPARE = 8


@dataclass(frozen=True, slots=True)
class Window:
    """From ``lo`` (exclusive) to ``hi`` (inclusive), cut to hold ``units``; NULL is unbounded."""

    lo: Key | None
    hi: Key | None
    units: int
    shares: Shares = WHOLE
    ground: tuple[Key | None, Key | None] | None = None
    """What its waves are bounded by: positions in the heap, of the window itself or of the blocks in which its rows lie."""

    @property
    def has_waves(self) -> bool:
        return len(self.shares) > 1

    @property
    def first_block(self) -> int:
        """Of its ground."""
        return block_of(self.ground[0]) if self.ground and self.ground[0] else 0

    @property
    def blocks(self) -> int:
        """Of its ground; 0 where that is not known."""
        if self.ground is None or self.ground[1] is None:
            return 0
        return max(1, block_of(self.ground[1]) - self.first_block)


@dataclass(frozen=True, slots=True)
class Windows:
    """Cuts windows from what is left of a slice, without a lock on any row."""

    session: LaneSession
    walk: Walk
    slice: Slice
    rows_per_block: float

    async def cut(self, cursor: Key | None, units: int, count: int, into: Shares) -> list[Window]:
        """Return up to ``count`` windows of ``units`` behind ``cursor``, the last of them perhaps short.

        Empty where waves are no use: the rows of the first window lie all over the heap.
        """
        if self.slice.walk == "blocks":
            return self._by_blocks(cursor, units, count, into)
        return await self._by_key(cursor, units, count, into)

    def _by_blocks(self, cursor: Key | None, units: int, count: int, into: Shares) -> list[Window]:
        """What is left of the slice is shared out among as many windows, if it is less: a round of one would write where
        snapshots that hold its dead rows still stand.
        """
        assert self.slice.hi is not None
        at, end, found = block_of(cursor) if cursor else 0, block_of(self.slice.hi), list[Window]()
        units = max(1, min(units, math.ceil((end - at) / count)))
        while len(found) < count and (at < end or not found):
            lo, hi = position(at), position(min(at + units, end))
            found.append(Window(cursor if not found else lo, hi, units, into, (lo, hi)))
            at += units
        return found

    async def _by_key(self, cursor: Key | None, units: int, count: int, into: Shares) -> list[Window]:
        found: list[Window] = []
        ask, until = self.session.fetch_resting, self.slice.hi
        first = await ask(self.walk.next_edge, [cursor, until, 1])
        lo, at = cursor, _block(first[1]) if first else 0
        while first is not None and len(found) < count:
            edge = await ask(self.walk.next_edge, [lo, until, units])
            is_last = edge is None or list(edge[0]) == until
            if edge is None:
                last = await ask(self.walk.last_edge, [lo, until])
                if last is None:
                    break
                hi, place, rows = until, _block(last[0]), int(last[1])
            else:
                hi, place, rows = list(edge[0]), _block(edge[1]), units
            if abs(place - at) > BLOCKS_SPARE + BLOCKS_SPREAD_MAX * rows / self.rows_per_block:
                break
            ground = (position(min(at, place)), position(max(at, place) + 1))
            found.append(Window(lo, hi, rows, into, ground))
            if is_last:
                break
            lo, at = hi, place
        return found


def _block(place: str) -> int:
    return block_of([place])
