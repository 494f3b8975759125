"""A sample of a table that was verified: a few pages here and there, looked at while its switch is postponed.

It proves nothing about the rest, so it never makes a verdict fresher. It finds early what the verification before the
switch would find late: a trigger that is off, an application that writes both columns.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from osc.executor.backfill import slicing
from osc.executor.backfill.leaves import leaves_of
from osc.executor.backfill.looking import ROWS_PER_BLOCK, named
from osc.executor.backfill.session import WALK_THE_KEY
from osc.executor.backfill.statements import Row, fetch_all, is_poison
from osc.executor.backfill.waves import Heap
from osc.executor.lead import Lead
from osc.pg.session import Connection, close, run, set_timeouts, within
from osc.program import VerifyStep
from osc.sql import pages
from osc.sql.pages import ByKey, position
from osc.state.slices import Key

PURPOSE = "sample"
"""Of its session."""
PLACES_A_PAGE = 8
"""So many places a page are found to choose from, so that no two samples look at the same."""


@dataclass
class Sampled:
    """What was seen of one table: rows looked at, rows out of step, keys of some."""

    step: VerifyStep
    rows: int = 0
    mismatches: int = 0
    keys: list[Key] = field(default_factory=list)


@dataclass(frozen=True)
class Spot:
    """Where a page begins, of the table or of a leaf (``here``); one that ``goes_on`` is followed up to the end."""

    of: Sampled
    here: VerifyStep
    lo: Key | None
    goes_on: bool = False


def is_small(heap: Heap, pages_max: int, page_rows: int) -> bool:
    """Return whether so many pages would hold all of a heap, which is walked then."""
    return heap.blocks * heap.rows_per_block <= pages_max * page_rows


def chosen(places: Sequence[Key | None], wanted: int, chance: random.Random) -> list[Key | None]:
    """Return ``wanted`` of the places at random, in their order."""
    return [places[n] for n in sorted(chance.sample(range(len(places)), min(wanted, len(places))))]


def block_places(blocks: int, wanted: int, chance: random.Random) -> list[Key | None]:
    """Return the positions of ``wanted`` blocks at random, in their order."""
    return [position(n) for n in sorted(chance.sample(range(blocks), min(wanted, blocks)))]


@dataclass
class Sample:
    """One sample of several tables, taken page by page, so that whoever takes it can do something else between two.

    Each page is a statement of its own under a short timeout: no lock but ACCESS SHARE, no snapshot that outlives it.
    """

    lead: Lead
    steps: Sequence[VerifyStep]
    chance: random.Random = field(default_factory=random.Random)
    found: list[Sampled] = field(default_factory=list)
    _spots: deque[Spot] = field(default_factory=deque)
    _conn: Connection | None = None
    _rows: int = 0
    _pages: int = 0
    """Of tables that are walked: where estimates are wrong, so many pages and no more."""

    async def begin(self) -> None:
        """Choose where to look; raises what the server says against it."""
        settings = self.lead.settings
        self._rows = settings.sample_rows
        self._conn = conn = await self.lead.worker(PURPOSE)
        await set_timeouts(
            conn,
            statement_timeout_ms=settings.sample_page_ms,
            lock_timeout_ms=settings.lock_timeout_first_ms,
            deadline_s=settings.query_deadline_s,
        )
        await run(conn, WALK_THE_KEY, deadline_s=settings.query_deadline_s)
        for step in self.steps:
            self.found.append(seen := Sampled(step))
            parts = await self._parts(step)
            for here in parts:
                self._spots.extend(await self._choose(seen, here, max(1, settings.sample_pages // len(parts))))

    async def _parts(self, step: VerifyStep) -> list[VerifyStep]:
        """Return the step, or what it is on some leaves of its table."""
        if step.leaf is None:
            return [step]
        leaves = await leaves_of(self.lead, step.table)
        few = self.chance.sample(leaves, min(self.lead.settings.sample_pages, len(leaves)))
        return [step.on(leaf.name) for leaf in few]

    async def _choose(self, seen: Sampled, here: VerifyStep, wanted: int) -> list[Spot]:
        places: list[Key | None]
        try:
            heap = await slicing.look(self.lead, here)
            if is_small(heap, wanted, self._rows):
                return [Spot(seen, here, None, goes_on=True)]
            places = await self._places(here, heap, wanted)
        except psycopg.errors.QueryCanceled:  # too large to be sampled in time: its beginning is better than nothing
            places = [None]
        except psycopg.errors.UndefinedTable:  # a leaf that is gone, or called otherwise now
            return []
        return [Spot(seen, here, lo) for lo in places]

    async def _places(self, here: VerifyStep, heap: Heap, wanted: int) -> list[Key | None]:
        if not here.key:
            return block_places(heap.blocks, wanted, self.chance)
        parts = wanted * PLACES_A_PAGE
        params = [parts, min(100.0, 100.0 * parts / max(1, heap.blocks))]
        rows = await self._ask_all(pages.sample(ByKey(here.table, here.key)), params)
        return chosen([None, *(list(row[0]) for row in rows)], wanted, self.chance)

    async def page(self) -> bool:
        """Look at the next page; return whether that was the last one."""
        if self._spots:
            await self._look(self._spots.popleft())
        return not self._spots

    async def _look(self, spot: Spot) -> None:
        limit = self._rows if spot.here.key else max(1, self._rows // ROWS_PER_BLOCK)
        up_to: list[Key | None] = [None] if spot.here.ranged else []
        self._pages += 1
        try:
            rows, mismatches, last = (await self._ask_all(spot.here.count, [spot.lo, limit, *up_to]))[0]
            spot.of.rows += int(rows)
            spot.of.mismatches += int(mismatches)
            if mismatches:
                await self._name(spot, limit, up_to)
        except psycopg.errors.QueryCanceled:
            self._rows = max(1, self._rows // 4)
            return
        except psycopg.errors.UndefinedTable:
            return
        except psycopg.Error as error:
            if not is_poison(error):
                raise
            spot.of.rows += 1  # at least: a row for which the expression raises is not in step
            spot.of.mismatches += 1
            return
        more = last is not None and (not spot.here.key or int(rows) == limit)
        if spot.goes_on and more and self._pages < 2 * self.lead.settings.sample_pages * len(self.steps):
            self._spots.appendleft(Spot(spot.of, spot.here, list(last), goes_on=True))

    async def _name(self, spot: Spot, limit: int, up_to: list[Key | None]) -> None:
        room = self.lead.settings.sample_keys_max - len(spot.of.keys)
        if room > 0:
            rows = await self._ask_all(spot.here.sample, [spot.lo, limit, *up_to, room])
            spot.of.keys += [named(spot.here, row) for row in rows]

    async def _ask_all(self, sql: str, params: list[Any]) -> list[Row]:
        assert self._conn is not None  # begun before
        return await within(self._conn, self.lead.settings.query_deadline_s, fetch_all(self._conn, sql, params))

    async def close(self) -> None:
        """Hang up."""
        if self._conn is not None:
            await close(self._conn)
            self._conn = None
