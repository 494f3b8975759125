"""One range of a verification pass, looked at page by page on one session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psycopg

from osc.executor.backfill.statements import Row, fetch_all, fetch_one, is_poison
from osc.executor.lead import Lead
from osc.pg.outcome import sqlstate_of
from osc.pg.session import Connection, within
from osc.program import VerifyStep
from osc.state.slices import Key
from osc.state.verifications import Range

ROWS_PER_BLOCK = 50
"""Of a table without a key, which is looked at by blocks: about as many rows a page as of others."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows behind ``lo`` up to ``hi``, of the table or of its leaf of that oid."""

    lo: Key | None
    hi: Key | None
    rows: int
    leaf: int | None


@dataclass(eq=False)
class Verdict:
    """What was found: rows looked at, rows out of step, keys of some, and the pages that hold them.

    No two are equal: lanes that have found as much as each other so far are told apart.
    """

    rows: int = 0
    mismatches: int = 0
    sample: list[Key] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def add(self, other: Verdict, sample_max: int) -> None:
        """Take in what was found elsewhere, up to so many keys."""
        self.rows += other.rows
        self.mismatches += other.mismatches
        self.sample = [*self.sample, *other.sample][:sample_max]
        self.pages += other.pages


async def ask(lead: Lead, conn: Connection, sql: str, params: list[object]) -> Row | None:
    """Execute a query of verification, whose pages may take longer than others."""
    return await within(
        conn, lead.settings.query_deadline_s + lead.settings.reply_grace_s, fetch_one(conn, sql, params)
    )


def named(step: VerifyStep, row: Row) -> Key:
    """Return what a row that ``sample`` found is named by to people; a place in the heap says nothing without its leaf."""
    return [str(step.table), *row[0]] if step.root is not None and not step.key else list(row[0])


@dataclass
class Look:
    """A range of ``step``'s table, which is a leaf where the table is partitioned. ``tell`` is called behind each page."""

    lead: Lead
    step: VerifyStep
    conn: Connection
    range: Range
    tell: Callable[[], None]
    may_go_on: Callable[[], Awaitable[None]]
    """Returns when the next page may be looked at, on a session that is set as it is to be."""
    found: Verdict = field(default_factory=Verdict)

    async def take(self) -> None:
        """Look at every row of the range."""
        settings, step, lo, hi = self.lead.settings, self.step, self.range.lo, self.range.hi
        most = settings.verify_rows if step.key else max(1, settings.verify_rows // ROWS_PER_BLOCK)
        limit, ended = most, False
        while not ended:
            await self.may_go_on()
            try:
                page = await ask(self.lead, self.conn, step.count, [lo, limit, *self._up_to])
            except psycopg.Error as error:
                if sqlstate_of(error) == "57014" and limit > 1:
                    limit = max(1, limit // 4)
                    continue
                if not is_poison(error):
                    raise
                lo, limit, ended = await self._around_poison(lo, limit)
                continue
            assert page is not None
            rows, mismatches, last = int(page[0]), int(page[1]), page[2]
            if mismatches:
                await self._sample(lo, limit)
                self.found.pages.append(Page(lo, hi if last is None else last, rows, self.range.leaf))
            self._count(rows, mismatches)
            ended = last is None or bool(step.key and rows < limit)
            lo, limit = last, min(most, limit * 2)

    @property
    def _up_to(self) -> list[Key | None]:
        return [self.range.hi] if self.step.ranged else []

    def _count(self, rows: int, mismatches: int) -> None:
        self.found.rows += rows
        self.found.mismatches += mismatches
        self.tell()

    async def _around_poison(self, lo: Key | None, limit: int) -> tuple[Key | None, int, bool]:
        """An expression raised on this page: take a smaller one, or count the one row left as out of step and step over it."""
        if limit > 1:
            return lo, max(1, limit // 8), False
        row = await ask(self.lead, self.conn, self.step.next_key, [lo, *self._up_to])
        if row is None:
            return lo, limit, True
        self._count(1, 1)
        self.found.pages.append(Page(lo if not self.step.key else row[0], row[0], 1, self.range.leaf))
        if len(self.found.sample) < self.lead.settings.sample_keys_max:
            self.found.sample.append(named(self.step, row))
        return row[0], limit, False

    async def _sample(self, lo: Key | None, limit: int) -> None:
        room = self.lead.settings.sample_keys_max - len(self.found.sample)
        if room > 0:
            params = [lo, limit, *self._up_to, room]
            rows = await within(
                self.conn, self.lead.settings.query_deadline_s, fetch_all(self.conn, self.step.sample, params)
            )
            self.found.sample += [named(self.step, row) for row in rows]
