"""How many waves a window is filled in: pure, from what is known of the heap and from what the waves achieve.

A wave updates every k-th row of each block. The dead rows that the wave before it left there are pruned when the next
one writes, so its new versions find room in their own block and no index is touched (HOT). What does not fit moves
to another block and costs one entry in every index: about one k-th of the rows, those of the first wave.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WAVES_MAX = 20
WAVE_COST, MOVE_COST, INDEX_COST = 0.13, 1.2, 6.1
"""What a row costs, in microseconds: to be passed by in a wave that leaves it out; to be moved to another block, with its entry
in the key's index; and for each further index that gets an entry then (1,000,000 rows of 130 bytes, PostgreSQL 18; only
their ratio matters). Of ``k`` waves one ``k``-th of the rows moves, so the cheapest count is the root of their quotient."""
WINDOWS = 4
"""So many windows go through their first wave before any goes through its second: snapshots that could hold the dead
versions have ended by then, those of other lanes as well (design.md section 6)."""
HOT_SHARE_MIN = 0.3
"""Below it the waves achieve nothing: something keeps dead versions from being pruned."""
LINE_POINTERS_MAX = 291
"""So many row identifiers a block of 8 kB has (MaxHeapTuplesPerPage). Each HOT update takes one more, for the row's root stays:
of narrow rows only a part can be HOT, however much room there is."""
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


def count(heap: Heap) -> int:
    """Return into how many waves a window is worth being cut.

    With free room one share of the rows must fit into it; a block of few rows needs no more waves than rows.
    """
    if heap.is_indexed or heap.rows_per_block < 2 or heap.rows_per_block * (1 + HOT_SHARE_MIN) > LINE_POINTERS_MAX:
        return 1
    cheapest = math.sqrt((MOVE_COST + INDEX_COST * max(0, heap.indexes - 1)) / WAVE_COST)
    most = min(WAVES_MAX, round(cheapest), round(heap.rows_per_block))
    if heap.free_share * most > 1:
        most = min(most, math.ceil(1.2 / heap.free_share))
    return max(1, most)


@dataclass
class Waves:
    """The count in force: ``asked``, or 1 while waves achieve nothing."""

    asked: int
    rested: int = 0
    """Batches without waves that are still to come."""
    rest_next: int = REST_FIRST
    _rows: int = 0
    _hot: int = 0

    @property
    def is_in_vain(self) -> bool:
        """Whether waves were tried and achieve nothing at the moment."""
        return self.rest_next > REST_FIRST and self.asked > 1

    @property
    def now(self) -> int:
        return 1 if self.rested else self.asked

    def rest(self) -> None:
        """Go without waves for a while, and longer if it was in vain before."""
        self.rested, self.rest_next = self.rest_next, min(self.rest_next * 2, REST_MAX)
        self._rows = self._hot = 0

    def took(self, rows: int, hot: int) -> None:
        """Count what a wave behind a window's first has updated, and how much of it HOT."""
        self._rows += rows
        self._hot += hot

    def round_begins(self) -> int:
        """Judge the round before, of one share after the other, and return into how many waves the next is cut.

        One wave alone proves nothing: room that grows wave by wave is used up in some of them.
        """
        if self._rows >= ROWS_TO_JUDGE:
            if self._hot < HOT_SHARE_MIN * self._rows:
                self.rest()
            else:
                self.rest_next = REST_FIRST
                self._rows = self._hot = 0
        now = self.now
        self.rested = max(0, self.rested - 1)
        return now
