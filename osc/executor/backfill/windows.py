"""The windows of a slice, in its walk's own units: rows behind a key, or blocks of the heap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from osc.executor.backfill.statements import fetch_one
from osc.executor.lead import Lead
from osc.pg.session import Connection, within
from osc.program.steps import Walk
from osc.sql.pages import block_of, position
from osc.state.slices import Key, Slice


@dataclass(frozen=True, slots=True)
class Window:
    """From ``lo`` (exclusive) to ``hi`` (inclusive), cut to hold ``units``; NULL is unbounded."""

    lo: Key | None
    hi: Key | None
    units: int
    waves: int = 1


@dataclass(frozen=True, slots=True)
class Windows:
    """Cuts windows from what is left of a slice, without a lock on any row."""

    lead: Lead
    walk: Walk
    slice: Slice
    conn: Connection

    @property
    def by_blocks(self) -> bool:
        return self.slice.walk == "blocks"

    async def cut(self, cursor: Key | None, units: int, count: int, waves: int) -> list[Window]:
        """Return up to ``count`` windows of ``units`` behind ``cursor``, the last of them perhaps short.

        What is left of a slice of blocks is shared out among as many, if it is less: a round of one window would write
        where snapshots that hold its dead rows still stand.
        """
        found: list[Window] = []
        lo = cursor
        if self.by_blocks and self.slice.hi is not None:
            left = block_of(self.slice.hi) - (block_of(lo) if lo else 0)
            units = max(1, min(units, math.ceil(left / count)))
        while len(found) < count:
            hi = await self._edge(lo, units)
            found.append(Window(lo, hi, units, waves))
            if hi is None or hi == self.slice.hi:
                break
            lo = hi
        return found

    async def _edge(self, lo: Key | None, units: int) -> Key | None:
        if self.by_blocks:
            assert self.slice.hi is not None
            return position(min((block_of(lo) if lo else 0) + units, block_of(self.slice.hi)))
        params = [lo, self.slice.hi, units]
        row = await within(
            self.conn, self.lead.settings.query_deadline_s, fetch_one(self.conn, self.walk.next_edge, params)
        )
        return self.slice.hi if row is None else list(row[0])
