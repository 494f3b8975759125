"""In which shares a window is filled, wave by wave: pure, from what is known of the heap and from what the waves achieve.

A wave updates some rows of each block. The dead versions that the wave before it left there are pruned when the next one
writes, so its new versions find room in their own block and no index is touched (HOT). The room has to come from
somewhere: the first shares move a few rows of each block elsewhere, at the cost of one entry in every index, just as
many as are needed so that behind them no row has to move any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

BLOCK_BYTES = 8168
"""Of a block of 8 kB, without its header."""
POINTER_BYTES = 4
"""A row's identifier. A HOT update takes one more, for the row's root stays and points to the new version."""
LINE_POINTERS_MAX = 291
"""So many of them a block has (MaxHeapTuplesPerPage): of narrow rows only a part can be HOT, however much room there is."""
WAVES_MAX = 32
PASS_COST, STAY_COST = 0.1, 0.8
"""What a row costs, in microseconds: to be passed by in a wave, and to be updated where it is (1,000,000 rows of 130 bytes,
PostgreSQL 18; only their ratio matters)."""
MOVE_COST, INDEX_COST, FULL_INDEX_COST = 4.0, 3.0, 10.0
"""What a row costs that a wave moves to another block, with its entry in the key's index; what it costs besides in each
further index, where its page has room; and where the server first looks for dead entries to delete, or splits the page."""
LONE_MOVE_COST, SPLIT_COST = 2.2, 0.32
"""What a moved row costs where the key's index is the only one; and every row of the block, moved or not, where those pages have
no room for so many and are split, after which they have."""
WHOLE_COST, WHOLE_INDEX_COST = 2.7, 2.6
"""The same where all rows of a window move at once: neighbours go to the same pages."""
INDEX_ROOM = 0.1
"""Share of new entries that the pages of an index have room for (their fillfactor of 90)."""
MOVED_AT_ONCE = 0.065
"""Share of a block's rows that one wave moves at most, where there are further indexes: the entries that those left behind
are deleted before the next come."""
WORTH_IT = 0.95
"""Waves must cost less than this share of what updating each row once, wherever it goes, would."""
WINDOWS = 4
"""So many windows go through their first wave before any goes through its second: snapshots that could hold the dead
versions have ended by then, those of other lanes as well (design.md section 6)."""
HOT_SHARE_MIN = 0.3
"""Below it the waves achieve nothing: something keeps dead versions from being pruned."""
LATE_SHARE_MAX = 0.01
"""If more of the rows than this had to move in waves behind the first, the next round makes more room at first."""
ROWS_TO_JUDGE = 500
"""So many updates make a share."""
FIRST_BATCHES = 2
"""So many batches of a lane go without: they tell what rows cost, and move the checkpoint at once, so that a process that is
killed again and again arrives as well."""
REST_FIRST = 4
REST_MAX = 64
"""So many batches go without waves before they are tried again, doubled each time they fail."""


@dataclass(frozen=True, slots=True)
class Heap:
    """What is known of a table's heap, as it lies there now."""

    blocks: int
    rows_per_block: float
    free_share: float
    """Of a block, before anything is written: what fillfactor and removed rows left."""
    indexes: int
    follows_the_key: bool | None = None
    """Whether neighbours by key are neighbours in the heap; ``None``: there are no statistics."""
    is_indexed: bool = False
    """Whether an index is on a column that is filled: then no update is HOT, whatever room there is."""
    growth_bytes: float = 8.0
    """By how much a row is longer when it is filled."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the rows of each block, told apart by their place modulo ``of``, in the order in which waves go.

    The first ``moving`` of them make room.
    """

    of: int
    sizes: tuple[int, ...]
    moving: int = 1

    @classmethod
    def equal(cls, number: int) -> Shares:
        """Return so many shares, every one of each ``number``-th row."""
        return cls(number, (1,) * number)

    def __len__(self) -> int:
        return len(self.sizes)

    def places(self, number: int) -> tuple[int, int]:
        """Return from which place (inclusive) to which (exclusive) share ``number`` goes."""
        first = sum(self.sizes[:number])
        return first, first + self.sizes[number]


WHOLE = Shares.equal(1)


def shares(heap: Heap, more: int = 0) -> Shares:
    """Return in which shares a window is filled at the least cost; ``WHOLE`` where waves are of no use.

    ``more`` rows of each block than the heap suggests are moved at first.
    """
    of = min(round(heap.rows_per_block), LINE_POINTERS_MAX)
    if heap.is_indexed or of < 2 or of * (1 + HOT_SHARE_MIN) > LINE_POINTERS_MAX:
        return WHOLE
    ways = [way for moved in range(of // 2 + 1) if (way := _Block(heap, of).cut(moved)) is not None]
    if not ways:
        return WHOLE
    best = min(ways, key=lambda way: way.cost)
    worth = WORTH_IT * _Block(heap, of).cost_whole
    if best.cost > worth:
        return WHOLE
    if more and (roomy := _Block(heap, of).cut(min(best.moved + more, of // 2))) and roomy.cost <= worth:
        best = roomy
    return Shares(of, tuple(best.sizes), best.moving)


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to fill a block: how many rows each wave takes, how many are moved by the first ``moving``, and its cost."""

    sizes: list[int]
    moving: int
    moved: int
    cost: float


@dataclass(frozen=True, slots=True)
class _Block:
    """A typical block of ``rows`` rows, all alike."""

    heap: Heap
    rows: int

    @property
    def free_bytes(self) -> float:
        return self.heap.free_share * BLOCK_BYTES

    @property
    def cost_whole(self) -> float:
        """Of updating each row once: what finds room stays, all else moves."""
        old = (BLOCK_BYTES - self.free_bytes) / self.rows
        stay = min(self.rows, int(self.free_bytes / (old + self.heap.growth_bytes)))
        move = WHOLE_COST + WHOLE_INDEX_COST * self._others
        return self.rows * PASS_COST + stay * STAY_COST + (self.rows - stay) * move

    def cut(self, moved: int) -> _Way | None:
        """Return the way that moves so many rows at first; ``None`` if there is no room left behind them, or waves are too many.

        A wave takes as many rows as find room: in what was free, and what the wave before it left.
        """
        old = (BLOCK_BYTES - self.free_bytes) / self.rows - POINTER_BYTES
        new = old + self.heap.growth_bytes + POINTER_BYTES
        room, left, pointers, sizes = self.free_bytes, self.rows, LINE_POINTERS_MAX - self.rows, list[int]()
        moving = math.ceil(moved / max(1, int(MOVED_AT_ONCE * self.rows if self._others else self.rows)))
        for step in range(moving):
            if not left:
                break
            stay = min(int(room / new), pointers)
            take = min(left, stay + moved // moving + (step < moved % moving))
            stay = min(stay, take)
            room += take * old - stay * new
            left, pointers = left - take, pointers - stay
            sizes.append(take)
        while left:
            take = min(left, int(room / new), pointers)
            if take < 1 or len(sizes) == WAVES_MAX:
                return None
            room -= take * (new - old)
            left, pointers = left - take, pointers - take
            sizes.append(take)
        moving = min(moving, len(sizes))
        cost = len(sizes) * self.rows * PASS_COST + (self.rows - moved) * STAY_COST + self._moves(moved)
        return _Way(sizes, moving, moved, cost)

    def _moves(self, rows: int) -> float:
        full = max(0.0, rows - INDEX_ROOM * self.rows)
        if not self._others:
            return rows * LONE_MOVE_COST + (SPLIT_COST * self.rows if full else 0.0)
        return rows * MOVE_COST + self._others * ((rows - full) * INDEX_COST + full * FULL_INDEX_COST)

    @property
    def _others(self) -> int:
        """How many indexes there are beside the key's."""
        return max(0, self.heap.indexes - 1)


@dataclass
class Waves:
    """The shares in force: those that were ``asked`` for or fit the ``heap``, or the whole while waves achieve nothing."""

    asked: int | None = None
    heap: Heap | None = None
    rested: int = 0
    """Batches without waves that are still to come."""
    rest_next: int = REST_FIRST
    more: int = 0
    """So many rows of each block more than was thought have to make room."""
    shares: Shares = field(init=False)
    _rows: int = 0
    _hot: int = 0
    _late: int = 0

    def __post_init__(self) -> None:
        self.cut(self.asked, self.heap)

    def cut(self, asked: int | None, heap: Heap | None) -> None:
        """Take other shares from now on: ``asked`` equal ones, or those that fit ``heap``."""
        self.asked, self.heap = asked, heap
        if asked is not None:
            self.shares = Shares.equal(asked)
        else:
            self.shares = WHOLE if heap is None else shares(heap, self.more)

    @property
    def is_in_vain(self) -> bool:
        """Whether waves were tried and achieve nothing at the moment."""
        return self.rest_next > REST_FIRST and len(self.shares) > 1

    @property
    def now(self) -> Shares:
        return WHOLE if self.rested else self.shares

    def rest(self) -> None:
        """Go without waves for a while, and longer if it was in vain before."""
        self.rested, self.rest_next = self.rest_next, min(self.rest_next * 2, REST_MAX)
        self._rows = self._hot = self._late = 0

    def took(self, rows: int, hot: int, *, ends: bool = False) -> None:
        """Count what a wave behind those that make room has updated, and how much of it HOT.

        What ``ends`` a window also meets rows that no wave did, for which no room was made.
        """
        self._rows += rows
        self._hot += hot
        self._late += 0 if ends else rows - hot

    def round_begins(self) -> Shares:
        """Judge the round before, of one share after the other, and return the shares of the next.

        One wave alone proves nothing: room that grows wave by wave is used up in some of them.
        """
        if self._rows >= ROWS_TO_JUDGE:
            if self._hot < HOT_SHARE_MIN * self._rows:
                self.rest()
            else:
                self.rest_next = REST_FIRST
                self._make_more_room()
                self._rows = self._hot = self._late = 0
        now = self.now
        self.rested = max(0, self.rested - 1)
        return now

    def _make_more_room(self) -> None:
        if self.heap is not None and self._late > LATE_SHARE_MAX * self._rows:
            self.more = min(self.more + 1, self.shares.of // 2)
            self.cut(None, self.heap)
