"""Windows that were left for another visit, and rows in them that cannot be filled."""

from __future__ import annotations

import psycopg

from osc.executor.backfill.lane import Lane
from osc.executor.backfill.misses import ROW_TRIES_MAX
from osc.executor.backfill.statements import Row, fetch_all, is_busy, is_poison
from osc.pg.outcome import Outcome, classify
from osc.pg.session import within
from osc.sql import batch
from osc.sql.pages import ByBlock, ByKey
from osc.state import slices
from osc.state.slices import Key


async def revisit_all(lane: Lane) -> int:
    """Visit every window that was skipped once; return how many rows are still locked."""
    left = 0
    for window in await lane.lead.ask(slices.skipped(lane.lead.control, lane.slice.slice)):
        await lane.lead.may_go_on()
        left += await revisit(lane, window.lo, window.hi, window.skipped)
    return left


async def revisit(lane: Lane, lo: Key | None, hi: Key | None, note: int) -> int:
    """Visit a noted window; a row in it that became poison meanwhile is named, and the window visited once more."""
    try:
        return await lane.revisit(lo, hi, note) or 0
    except psycopg.Error as error:
        if is_poison(error) or classify(error, during="transaction") is Outcome.CANCELLED:
            await fill_around(lane, lo, hi, name=True)
            return 0
        if not is_busy(error):
            raise
        return 1  # locked at this moment: again later


async def fill_around(lane: Lane, lo: Key | None, hi: Key | None, *, name: bool) -> None:
    """Fill a window in which a row raises or takes too long, all but such rows; with ``name`` they are named (I9)."""
    step, walk = lane.step, lane.walk
    page = ByBlock(step.table, step.key) if lane.by_blocks else ByKey(step.table, step.key)
    sql = walk.unfilled or batch.unfilled(page, step.columns)
    params = [lo, hi, lane.slice.slice] if "$3" in sql else [lo, hi]
    found = await within(lane.conn, lane.lead.settings.query_deadline_s, fetch_all(lane.conn, sql, params))
    await _fill_rows(lane, found, name=name)


async def _fill_rows(lane: Lane, rows: list[Row], *, name: bool) -> None:
    """Fill rows (place in the walk, and the key each is named by) in halves, down to the one that is at fault."""
    if not rows:
        return
    error: psycopg.Error | None = None
    for _ in range(ROW_TRIES_MAX):
        try:
            while await lane.revisit(rows[0][0], rows[-1][0], 0) is None:
                await lane.lead.may_go_on()
        except psycopg.Error as raised:
            is_slow = classify(raised, during="transaction") is Outcome.CANCELLED
            if not is_slow and not is_poison(raised):
                raise
            error = raised
            if len(rows) > 1 or not is_slow:
                break
        else:
            return
    if len(rows) > 1:
        middle = len(rows) // 2
        await _fill_rows(lane, rows[:middle], name=name)
        await _fill_rows(lane, rows[middle:], name=name)
    elif name and error is not None:
        await lane.name(list(rows[0][-1]), error)
