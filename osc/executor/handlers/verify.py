"""Verification: a pass over every row, what moved past the fill sent back, and a verdict that others stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg

from osc.errors import Refused
from osc.executor.backfill import slicing
from osc.executor.backfill.ground import Rewritten
from osc.executor.backfill.inspection import inspect
from osc.executor.backfill.lane import Lane
from osc.executor.backfill.leaves import LeavesChanged, is_leaf, on
from osc.executor.backfill.looking import Page, Verdict, ask
from osc.executor.backfill.session import prepare
from osc.executor.backfill.skipped import fill_around
from osc.executor.backfill.statements import is_busy, is_poison
from osc.executor.handlers.fill import lane_at
from osc.executor.lead import Lead
from osc.pg.session import Connection, close
from osc.program import FillStep, VerifyStep
from osc.redaction import KEYS, quoted_keys
from osc.state import journal, verifications
from osc.state.journal import StepRow
from osc.state.slices import Key


async def do(lead: Lead, step: VerifyStep, row: StepRow) -> None:
    """Verify the table; rows that moved past the fill are sent back and looked at again.

    Afterwards the verdict is recorded and the step done. Raises Refused while rows are out of step; in contract only
    while rows hold what would be lost, and that verdict is no word on the way back.
    """
    if step.count_going_on:
        going_on = step.model_copy(update={"count": step.count_going_on, "sample": step.sample_going_on})
        verdict = await inspect(lead, going_on)
        await lead.ask(verifications.outdate(lead.control, lead.number, step.id))
        return await _judge(lead, step, row, verdict)
    await _judge(lead, step, row, await settle(lead, step))


async def settle(lead: Lead, step: VerifyStep) -> Verdict:
    """Return the verdict of a pass behind which no row was left that the fill of the table could still fill."""
    verdict = await inspect(lead, step)
    for _ in range(lead.settings.verify_rounds_max):
        if not verdict.mismatches or not await _send_back(lead, step, verdict):
            break
        verdict = await inspect(lead, step)
    return verdict


async def _judge(lead: Lead, step: VerifyStep, row: StepRow, verdict: Verdict) -> None:
    """Finish the step over a clean verdict, refuse over another."""
    refuse_mismatches(lead, step, verdict)
    await lead.ask(
        journal.finish(lead.control, lead.number, row.ordinal, lead.epoch, {"rows": verdict.rows, "mismatches": 0})
    )


def refuse_mismatches(lead: Lead, step: VerifyStep, verdict: Verdict) -> None:
    """Raise Refused, with keys, if rows are out of step."""
    if verdict.mismatches:
        keys = quoted_keys(verdict.sample)
        raise Refused(
            f"{verdict.mismatches} of {verdict.rows} rows of {step.table} {step.wrong}{keys.words}",
            hint=step.hint,
            facts={"rows": verdict.rows, "mismatches": verdict.mismatches, KEYS: verdict.sample},
            quoted=[keys],
        )


async def _send_back(lead: Lead, step: VerifyStep, verdict: Verdict) -> bool:
    """Fill the pages with mismatches once more (a key that moved behind the cursor, F52); return whether rows were filled."""
    fill = next((one for one in lead.program.steps() if isinstance(one, FillStep) and one.table == step.table), None)
    if fill is None or fill.phase is not step.phase:
        return False
    conn = await lead.worker("fill")
    try:
        await prepare(lead, fill, conn)
        filled = [await _fill_pages(lead, step, fill, conn, pages) for pages in _by_leaf(verdict.pages)]
        return any(filled)
    finally:
        await close(conn)


def _by_leaf(pages: Sequence[Page]) -> Iterator[list[Page]]:
    """Yield the pages of each leaf; those of a table without any are all of one."""
    for leaf in dict.fromkeys(page.leaf for page in pages):
        yield [page for page in pages if page.leaf == leaf]


async def _fill_pages(lead: Lead, step: VerifyStep, fill: FillStep, conn: Connection, pages: list[Page]) -> bool:
    """Return whether rows were filled; a page that cannot be filled now is left to the next verdict."""
    leaf = pages[0].leaf
    here, lane = await on(lead, step, leaf), await lane_at(lead, fill, conn, leaf)
    if here is None or lane is None:
        return False
    try:
        for page in pages:
            try:
                await _fill_page(here, lane, page.lo, page.hi, page.rows)
            except psycopg.Error as error:
                if not is_poison(error) and not is_busy(error):
                    raise
    except Rewritten:  # the places that were found are no more; the next pass finds others
        await slicing.begin_anew(lead, fill, None if leaf is None else [leaf])
        return True
    except LeavesChanged:
        return True
    except psycopg.errors.UndefinedTable:
        if await is_leaf(lead, lane.step, leaf):
            raise
        return True
    return lane.tally.filled > 0


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
        await fill_around(lane, lo, hi, name=False)
        return
    at, left = lo, rows
    while left > 0:
        up_to = [hi] if step.ranged else []
        page = await ask(lane.lead, lane.conn, step.count, [at, max(1, rows // 8) if step.key else 1, *up_to])
        assert page is not None
        if page[1]:
            await _fill_page(step, lane, at, page[2], int(page[0]))
        if page[2] is None:
            return
        at, left = page[2], left - int(page[0])
