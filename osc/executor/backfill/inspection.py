"""One pass of verification: every row is looked at, page by page, without locks, in ranges that several lanes share."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field

import anyio
import psycopg

from osc.executor.backfill import slicing
from osc.executor.backfill.leaves import is_leaf, leaves_of, on
from osc.executor.backfill.looking import Look, Verdict
from osc.executor.backfill.pace import AUTO, WORK_US, Pace
from osc.executor.backfill.session import WALK_THE_KEY, breathe
from osc.executor.keeping import beside, single
from osc.executor.lead import Lead
from osc.executor.throttle.at_work import AtWork
from osc.executor.throttle.waiters import LOOK_EVERY_S
from osc.failpoints import failpoint
from osc.pg.outcome import session_ended
from osc.pg.session import Connection, close, run, set_timeouts
from osc.program import VerifyStep
from osc.state import verifications
from osc.state.verifications import Range

LANES_AUTO = 2
"""Of ``parallel: auto``: reading disturbs nobody but who reads from the same disk."""


async def inspect(lead: Lead, step: VerifyStep) -> Verdict:
    """Take one pass over the whole table and record its verdict (only a finished pass has one, F102).

    A pass that was broken off lately goes on with the ranges that were not seen to be clean.
    """
    digest = hashlib.md5(step.count.encode(), usedforsecurity=False).hexdigest() if step.ranged else ""
    found = await lead.ask(
        verifications.unfinished(lead.control, lead.number, step.id, digest, fresh_s=lead.settings.verify_fresh_s)
    )
    if found is None:
        ranges = await _cut(lead, step)
        number = await lead.ask(
            verifications.begin(lead.control, lead.number, step.id, lead.epoch, ranges=ranges, digest=digest)
        )
    else:
        number, ranges = found
    inspection = Inspection(lead, step, number)
    inspection.verdict.rows = sum(one.rows or 0 for one in ranges)
    await inspection.take(list(enumerate(ranges)))
    while new := await _cut_new(lead, step, ranges):
        await lead.ask(verifications.add_ranges(lead.control, number, new))
        ranges = [*ranges, *new]
        await inspection.take(list(enumerate(ranges))[-len(new) :])
    verdict = inspection.verdict
    await failpoint("verify.before")
    await lead.ask(
        verifications.finish(
            lead.control, number, rows=verdict.rows, mismatches=verdict.mismatches, sample=verdict.sample
        )
    )
    await failpoint("verify.after")
    return verdict


async def _cut(lead: Lead, step: VerifyStep) -> list[Range]:
    """Return the ranges of a pass; their ends are open, for every row is looked at."""
    if not step.ranged:
        return [Range(None, None)]
    if step.leaf is None:
        return [Range(lo, hi) for lo, hi in await slicing.ranges(lead, step, await slicing.look(lead, step))]
    return await _cut_new(lead, step, [])


async def _cut_new(lead: Lead, step: VerifyStep, ranges: list[Range]) -> list[Range]:
    """Return ranges of the leaves of which there are none yet (F72)."""
    if step.leaf is None:
        return []
    known, new = {one.leaf for one in ranges}, []
    for leaf in await leaves_of(lead, step.table):
        if leaf.oid in known:
            continue
        here = step.on(leaf.name)
        try:
            bounds = await slicing.ranges(lead, here, await slicing.look(lead, here))
        except psycopg.errors.UndefinedTable:  # gone, or called otherwise: whoever looks at a range sees which
            bounds = [(None, None)]
        new += [Range(lo, hi, leaf=leaf.oid) for lo, hi in bounds]
    return new


@dataclass
class _Lane:
    """A session that looks at pages; it breathes as the pace says."""

    lead: Lead
    conn: Connection
    pace: Pace
    _breathes: bool = False

    async def may_go_on(self) -> None:
        """Return when the next page may be looked at."""
        await self.lead.may_go_on()
        if self.pace.breathes != self._breathes:
            self._breathes = self.pace.breathes
            await breathe(self.lead, self.conn, WORK_US if self._breathes else 0)


@dataclass
class Inspection:
    """A pass: the ranges that are left, and what was found so far."""

    lead: Lead
    step: VerifyStep
    number: int
    verdict: Verdict = field(default_factory=Verdict)
    left: deque[tuple[int, Range]] = field(default_factory=deque)
    _running: list[Verdict] = field(default_factory=list)
    """Of the ranges that lanes look at now."""
    _told_s: float = 0.0
    _pace: Pace = field(init=False)
    """In force since the lanes began to look."""

    async def take(self, ranges: list[tuple[int, Range]]) -> None:
        """Look at those of the numbered ranges that were not seen to be clean, in as many lanes as the fill has."""
        self.left.extend((n, one) for n, one in ranges if one.rows is None)
        self._pace = await Pace(self.lead).read()
        lanes = self._pace.lanes
        self._told_s = self.lead.clock.monotonic()
        async with beside(self._watch):
            try:
                async with anyio.create_task_group() as group:
                    for _ in range(min(LANES_AUTO if lanes == AUTO else int(lanes), len(self.left))):
                        group.start_soon(self._lane)
            except BaseExceptionGroup as errors:
                raise single(errors) from None

    async def _watch(self) -> None:
        """Look whether others are at work, who are to notice as little of it as of the fill."""
        lead, at_work = self.lead, AtWork()
        while True:
            try:
                await at_work.read(lead.observer, None, lead.clock.monotonic())
            except psycopg.Error as error:
                if session_ended(error):
                    raise
            self._pace.others_at_work = at_work.are
            await lead.clock.sleep(LOOK_EVERY_S)

    async def _lane(self) -> None:
        conn = await self.lead.worker("verify")
        try:
            await self._prepare(conn)
            lane = _Lane(self.lead, conn, self._pace)
            while self.left:
                n, one = self.left.popleft()
                found = await self._range(lane, one)
                if not found.mismatches and self.step.ranged:
                    await self.lead.ask(verifications.note_range(self.lead.control, self.number, n, found.rows))
        finally:
            await close(conn)

    async def _prepare(self, conn: Connection) -> None:
        settings = self.lead.settings
        deadline_s, lock_ms = settings.query_deadline_s, settings.session_lock_timeout_ms
        await set_timeouts(
            conn, statement_timeout_ms=round(deadline_s * 1000), lock_timeout_ms=lock_ms, deadline_s=deadline_s
        )
        await run(conn, WALK_THE_KEY, deadline_s=settings.query_deadline_s)

    async def _range(self, lane: _Lane, one: Range) -> Verdict:
        """Look at one range; a leaf that is gone has no rows, and one that is called otherwise now is looked at anew."""
        while (step := await on(self.lead, self.step, one.leaf)) is not None:
            look = Look(self.lead, step, lane.conn, one, self._tell, lane.may_go_on)
            self._running.append(look.found)
            try:
                await look.take()
            except psycopg.errors.UndefinedTable:
                if await is_leaf(self.lead, step, one.leaf):
                    raise
            else:
                self.verdict.add(look.found, self.lead.settings.sample_keys_max)
                return look.found
            finally:
                self._running.remove(look.found)
        return Verdict()

    def _tell(self) -> None:
        """Tell once a second how many rows were looked at."""
        lead, step = self.lead, self.step
        if lead.clock.monotonic() - self._told_s < 1.0:
            return
        self._told_s = lead.clock.monotonic()
        found = (self.verdict, *self._running)
        rows = sum(one.rows for one in found)
        table = lead.program.phase(step.phase).expects.table(step.table)
        total = max(table.rows_estimate if table else 0, rows) or None
        lead.report("progress", f"{step.table}: {rows} rows verified", step=step.id, done=rows, total=total,
                    facts={"mismatches": sum(one.mismatches for one in found)})  # fmt: skip
