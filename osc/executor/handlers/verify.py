"""Verification: every row is looked at, page by page, without locks; what is out of step is counted and named."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from osc.errors import Refused
from osc.executor.backfill.lane import WALK_THE_KEY, Lane, Row, fetch_all, fetch_one, is_busy, is_poison
from osc.executor.handlers.fill import claimed_lane, prepare
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.pg.outcome import sqlstate_of
from osc.pg.session import Connection, close, run, set_timeouts, within
from osc.program import FillStep, VerifyStep
from osc.state import journal, slices, verifications
from osc.state.journal import StepRow
from osc.state.slices import Key


@dataclass
class Verdict:
    """What a pass found: rows looked at, rows out of step, keys of some, and the pages that hold them."""

    rows: int = 0
    mismatches: int = 0
    sample: list[Key] = field(default_factory=list)
    pages: list[tuple[Key | None, Key | None, int]] = field(default_factory=list)
    """(lo, hi, rows) of each page with a mismatch, first exclusive, last inclusive."""


async def do(lead: Lead, step: VerifyStep, row: StepRow) -> None:
    """Verify the table; rows that moved past the fill are sent back and looked at again.

    Afterwards the verdict is recorded and the step done. Raises Refused while rows are out of step; in contract only
    while rows hold what would be lost, and that verdict is no word on the way back.
    """
    if step.count_going_on:
        going_on = step.model_copy(update={"count": step.count_going_on, "sample": step.sample_going_on})
        verdict = await verify(lead, going_on)
        await lead.ask(verifications.outdate(lead.control, lead.number, step.id))
        return await _judge(lead, step, row, verdict)
    verdict = await verify(lead, step)
    for _ in range(lead.settings.verify_rounds_max):
        if not verdict.mismatches or not await _send_back(lead, step, verdict):
            break
        verdict = await verify(lead, step)
    await _judge(lead, step, row, verdict)


async def _judge(lead: Lead, step: VerifyStep, row: StepRow, verdict: Verdict) -> None:
    """Finish the step over a clean verdict, refuse over another."""
    refuse_mismatches(lead, step, verdict)
    await lead.ask(
        journal.finish(lead.control, lead.number, row.ordinal, lead.epoch, {"rows": verdict.rows, "mismatches": 0})
    )


def refuse_mismatches(lead: Lead, step: VerifyStep, verdict: Verdict) -> None:
    """Raise Refused, with keys, if rows are out of step."""
    if verdict.mismatches:
        keys = "; ".join(f"({', '.join(key)})" for key in verdict.sample)
        raise Refused(
            f"{verdict.mismatches} of {verdict.rows} rows of {step.table} {step.wrong}: {keys}",
            hint=step.hint,
            facts={"rows": verdict.rows, "mismatches": verdict.mismatches, "keys": verdict.sample},
        )


async def verify(lead: Lead, step: VerifyStep) -> Verdict:
    """Take one pass over the whole table and record its verdict (only a finished pass has one, F102)."""
    conn = await lead.worker("verify")
    try:
        number = await lead.ask(verifications.begin(lead.control, lead.number, step.id, lead.epoch))
        verdict = await _pass(lead, step, conn)
        await failpoint("verify.before")
        await lead.ask(
            verifications.finish(
                lead.control, number, rows=verdict.rows, mismatches=verdict.mismatches, sample=verdict.sample
            )
        )
        await failpoint("verify.after")
        return verdict
    finally:
        await close(conn)


async def _pass(lead: Lead, step: VerifyStep, conn: Connection) -> Verdict:
    settings = lead.settings
    await set_timeouts(conn, statement_timeout_ms=round(settings.query_deadline_s * 1000), lock_timeout_ms=settings.session_lock_timeout_ms,
                       deadline_s=settings.query_deadline_s)  # fmt: skip
    await run(conn, WALK_THE_KEY, deadline_s=settings.query_deadline_s)
    verdict, lo, limit = Verdict(), None, settings.verify_rows
    last_told = lead.clock.monotonic()
    while True:
        await lead.may_go_on()
        try:
            page = await _ask(lead, conn, step.count, [lo, limit])
        except psycopg.Error as error:
            if sqlstate_of(error) == "57014" and limit > 1:
                limit = max(1, limit // 4)
                continue
            if not is_poison(error):
                raise
            lo, limit, ended = await _around_poison(lead, step, conn, verdict, lo, limit)
            if ended:
                return verdict
            continue
        assert page is not None
        rows, mismatches, last = int(page[0]), int(page[1]), page[2]
        if mismatches:
            await _sample(lead, step, conn, verdict, lo, limit)
            verdict.pages.append((lo, last, rows))
        verdict.rows += rows
        verdict.mismatches += mismatches
        if rows < limit:
            return verdict
        lo, limit = last, min(settings.verify_rows, limit * 2)
        if lead.clock.monotonic() - last_told >= 1.0:
            last_told = lead.clock.monotonic()
            _tell(lead, step, verdict)


async def _around_poison(
    lead: Lead, step: VerifyStep, conn: Connection, verdict: Verdict, lo: Key | None, limit: int
) -> tuple[Key | None, int, bool]:
    """An expression raised on this page: take a smaller one, or count the one row left as out of step and step over it."""
    if limit > 1:
        return lo, max(1, limit // 8), False
    row = await _ask(lead, conn, step.next_key, [lo])
    if row is None:
        return lo, limit, True
    verdict.rows += 1
    verdict.mismatches += 1
    verdict.pages.append((row[0], row[0], 1))
    if len(verdict.sample) < lead.settings.sample_keys_max:
        verdict.sample.append(list(row[0]))
    return row[0], limit, False


async def _sample(lead: Lead, step: VerifyStep, conn: Connection, verdict: Verdict, lo: Key | None, limit: int) -> None:
    room = lead.settings.sample_keys_max - len(verdict.sample)
    if room > 0:
        found = await within(conn, lead.settings.query_deadline_s, fetch_all(conn, step.sample, [lo, limit, room]))
        verdict.sample += [list(row[0]) for row in found]


def _tell(lead: Lead, step: VerifyStep, verdict: Verdict) -> None:
    table = lead.program.phase(step.phase).expects.table(step.table)
    total = max(table.rows_estimate if table else 0, verdict.rows) or None
    lead.report("progress", f"{step.table}: {verdict.rows} rows verified", step=step.id, done=verdict.rows, total=total,
                facts={"mismatches": verdict.mismatches})  # fmt: skip


async def _send_back(lead: Lead, step: VerifyStep, verdict: Verdict) -> bool:
    """Fill the pages with mismatches once more (a key that moved behind the cursor, F52); return whether rows were filled."""
    fill = next((one for one in lead.program.steps() if isinstance(one, FillStep) and one.table == step.table), None)
    pieces = await lead.ask(slices.of_step(lead.control, lead.number, fill.id)) if fill else []
    if fill is None or fill.phase is not step.phase:
        return False
    if not pieces:
        pieces = await lead.ask(slices.create(lead.control, lead.number, fill.id, [(None, None)], lead.epoch))
    conn = await lead.worker("fill")
    try:
        await prepare(lead, fill, conn)
        lane = await claimed_lane(lead, fill, conn, pieces[0])
        return lane is not None and await _fill_pages(step, lane, verdict)
    finally:
        await close(conn)


async def _fill_pages(step: VerifyStep, lane: Lane, verdict: Verdict) -> bool:
    """Return whether rows were filled; a page that cannot be filled now is left to the next verdict."""
    for lo, hi, rows in verdict.pages:
        try:
            await _fill_page(step, lane, lo, hi, rows)
        except psycopg.Error as error:
            if not is_poison(error) and not is_busy(error):
                raise
    return lane.filled > 0


async def _fill_page(step: VerifyStep, lane: Lane, lo: Key | None, hi: Key | None, rows: int) -> None:
    """Fill a page; one that takes longer than a batch may live is filled in parts."""
    try:
        while await lane.revisit(lo, hi, 0) is None:
            await lane.lead.may_go_on()
        return
    except psycopg.errors.QueryCanceled:
        if rows == 1:
            raise
    except psycopg.Error as error:
        if not is_poison(error):
            raise
        await lane.fill_around_poison(lo, hi, name=False)
        return
    at, left = lo, rows
    while left > 0:
        page = await _ask(lane.lead, lane.conn, step.count, [at, max(1, rows // 8)])
        assert page is not None
        if not page[0]:
            return
        if page[1]:
            await _fill_page(step, lane, at, page[2], int(page[0]))
        at, left = page[2], left - int(page[0])


async def _ask(lead: Lead, conn: Connection, sql: str, params: list[object]) -> Row | None:
    return await within(
        conn, lead.settings.query_deadline_s + lead.settings.reply_grace_s, fetch_one(conn, sql, params)
    )
