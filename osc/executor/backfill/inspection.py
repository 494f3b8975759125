"""One pass of verification: every row is looked at, page by page, without locks, in ranges that several lanes share."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field

import anyio
import psycopg

from osc.executor.backfill import slicing
from osc.executor.backfill.pace import AUTO, Pace
from osc.executor.backfill.session import WALK_THE_KEY
from osc.executor.backfill.statements import Row, fetch_all, fetch_one, is_poison
from osc.executor.keeping import single
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.pg.outcome import sqlstate_of
from osc.pg.session import Connection, close, run, set_timeouts, within
from osc.program import VerifyStep
from osc.state import verifications
from osc.state.slices import Key
from osc.state.verifications import Range

ROWS_PER_BLOCK = 50
"""Of a table without a key, which is looked at by blocks: about as many rows a page as of others."""
LANES_AUTO = 2
"""Of ``parallel: auto``: reading disturbs nobody but who reads from the same disk."""


@dataclass
class Verdict:
    """What a pass found: rows looked at, rows out of step, keys of some, and the pages that hold them."""

    rows: int = 0
    mismatches: int = 0
    sample: list[Key] = field(default_factory=list)
    pages: list[tuple[Key | None, Key | None, int]] = field(default_factory=list)
    """(lo, hi, rows) of each page with a mismatch, first exclusive, last inclusive."""


async def ask(lead: Lead, conn: Connection, sql: str, params: list[object]) -> Row | None:
    """Execute a query of verification, whose pages may take longer than others."""
    return await within(
        conn, lead.settings.query_deadline_s + lead.settings.reply_grace_s, fetch_one(conn, sql, params)
    )


async def inspect(lead: Lead, step: VerifyStep) -> Verdict:
    """Take one pass over the whole table and record its verdict (only a finished pass has one, F102).

    A pass that was broken off lately goes on with the ranges that were not seen to be clean.
    """
    digest = hashlib.md5(step.count.encode(), usedforsecurity=False).hexdigest() if step.ranged else ""
    found = await lead.ask(
        verifications.unfinished(lead.control, lead.number, step.id, digest, fresh_s=lead.settings.verify_fresh_s)
    )
    if found is None:
        ranges: list[Range] = [(lo, hi, None) for lo, hi in await _cut(lead, step)]
        number = await lead.ask(
            verifications.begin(lead.control, lead.number, step.id, lead.epoch, ranges=ranges, digest=digest)
        )
    else:
        number, ranges = found
    inspection = Inspection(
        lead, step, number, deque((n, one[0], one[1]) for n, one in enumerate(ranges) if one[2] is None)
    )
    inspection.verdict.rows = sum(one[2] or 0 for one in ranges)
    verdict = await inspection.take()
    await failpoint("verify.before")
    await lead.ask(
        verifications.finish(
            lead.control, number, rows=verdict.rows, mismatches=verdict.mismatches, sample=verdict.sample
        )
    )
    await failpoint("verify.after")
    return verdict


async def _cut(lead: Lead, step: VerifyStep) -> list[tuple[Key | None, Key | None]]:
    """Return the ranges of a pass; their ends are open, for every row is looked at."""
    if not step.ranged:
        return [(None, None)]
    return await slicing.ranges(lead, step, await slicing.look(lead, step))


@dataclass
class Inspection:
    """A pass: the ranges that are left, and what was found so far."""

    lead: Lead
    step: VerifyStep
    number: int
    left: deque[tuple[int, Key | None, Key | None]]
    verdict: Verdict = field(default_factory=Verdict)
    _told_s: float = 0.0

    async def take(self) -> Verdict:
        """Look at every range, in as many lanes as the fill has."""
        lanes = (await Pace(self.lead).read()).lanes
        self._told_s = self.lead.clock.monotonic()
        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(LANES_AUTO if lanes == AUTO else int(lanes), len(self.left))):
                    group.start_soon(self._lane)
        except BaseExceptionGroup as errors:
            raise single(errors) from None
        return self.verdict

    async def _lane(self) -> None:
        conn = await self.lead.worker("verify")
        try:
            await self._prepare(conn)
            while self.left:
                n, lo, hi = self.left.popleft()
                rows, mismatches = await self._range(conn, lo, hi)
                if not mismatches and self.step.ranged:
                    await self.lead.ask(verifications.note_range(self.lead.control, self.number, n, rows))
        finally:
            await close(conn)

    async def _prepare(self, conn: Connection) -> None:
        settings = self.lead.settings
        deadline_s, lock_ms = settings.query_deadline_s, settings.session_lock_timeout_ms
        await set_timeouts(
            conn, statement_timeout_ms=round(deadline_s * 1000), lock_timeout_ms=lock_ms, deadline_s=deadline_s
        )
        await run(conn, WALK_THE_KEY, deadline_s=settings.query_deadline_s)

    async def _range(self, conn: Connection, lo: Key | None, hi: Key | None) -> tuple[int, int]:
        """Look at one range page by page; return its rows and how many of them are out of step."""
        settings, step = self.lead.settings, self.step
        most = settings.verify_rows if step.key else max(1, settings.verify_rows // ROWS_PER_BLOCK)
        found, limit, ended = Verdict(), most, False
        while not ended:
            await self.lead.may_go_on()
            try:
                page = await ask(self.lead, conn, step.count, [lo, limit, *self._up_to(hi)])
            except psycopg.Error as error:
                if sqlstate_of(error) == "57014" and limit > 1:
                    limit = max(1, limit // 4)
                    continue
                if not is_poison(error):
                    raise
                lo, limit, ended = await self._around_poison(conn, found, lo, hi, limit)
                continue
            assert page is not None
            rows, mismatches, last = int(page[0]), int(page[1]), page[2]
            if mismatches:
                await self._sample(conn, lo, hi, limit)
                self.verdict.pages.append((lo, hi if last is None else last, rows))
            self._count(found, rows, mismatches)
            ended = last is None or bool(step.key and rows < limit)
            lo, limit = last, min(most, limit * 2)
        return found.rows, found.mismatches

    def _up_to(self, hi: Key | None) -> list[Key | None]:
        return [hi] if self.step.ranged else []

    def _count(self, found: Verdict, rows: int, mismatches: int) -> None:
        for one in (found, self.verdict):
            one.rows += rows
            one.mismatches += mismatches
        if self.lead.clock.monotonic() - self._told_s >= 1.0:
            self._told_s = self.lead.clock.monotonic()
            self._tell()

    def _tell(self) -> None:
        lead, step, verdict = self.lead, self.step, self.verdict
        table = lead.program.phase(step.phase).expects.table(step.table)
        total = max(table.rows_estimate if table else 0, verdict.rows) or None
        lead.report("progress", f"{step.table}: {verdict.rows} rows verified", step=step.id, done=verdict.rows, total=total,
                    facts={"mismatches": verdict.mismatches})  # fmt: skip

    async def _around_poison(
        self, conn: Connection, found: Verdict, lo: Key | None, hi: Key | None, limit: int
    ) -> tuple[Key | None, int, bool]:
        """An expression raised on this page: take a smaller one, or count the one row left as out of step and step over it."""
        if limit > 1:
            return lo, max(1, limit // 8), False
        row = await ask(self.lead, conn, self.step.next_key, [lo, *self._up_to(hi)])
        if row is None:
            return lo, limit, True
        self._count(found, 1, 1)
        self.verdict.pages.append((lo if not self.step.key else row[0], row[0], 1))
        if len(self.verdict.sample) < self.lead.settings.sample_keys_max:
            self.verdict.sample.append(list(row[0]))
        return row[0], limit, False

    async def _sample(self, conn: Connection, lo: Key | None, hi: Key | None, limit: int) -> None:
        room = self.lead.settings.sample_keys_max - len(self.verdict.sample)
        if room > 0:
            params = [lo, limit, *self._up_to(hi), room]
            rows = await within(conn, self.lead.settings.query_deadline_s, fetch_all(conn, self.step.sample, params))
            self.verdict.sample += [list(row[0]) for row in rows]
