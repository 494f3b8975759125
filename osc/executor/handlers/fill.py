"""The fill step: slices made and claimed, lanes walked, skipped windows visited again, poison rows named."""

from __future__ import annotations

import psycopg

from osc.errors import Refused
from osc.executor.backfill.lane import WALK_THE_KEY, Lane, fetch_one, is_busy, is_poison
from osc.executor.backfill.meter import Meter
from osc.executor.backfill.pace import Pace
from osc.executor.backfill.servo import Servo
from osc.executor.handlers import forget
from osc.executor.lead import Lead
from osc.executor.throttle.throttle import Throttle
from osc.pg.session import Connection, close, run, within
from osc.program import FillStep
from osc.state import journal, slices
from osc.state.journal import StepRow
from osc.state.slices import Key, Slice

PUTTING_BACK = "putting_back"
"""In the result of a fill that is being undone: its slices are those of the walk that puts back."""


async def do(lead: Lead, step: FillStep, row: StepRow) -> None:
    """Fill the table; afterwards every row that was there is filled, skipped windows included, and the step is done.

    Raises Refused when rows cannot be filled: they are named in the state, and everything else is filled.
    """
    await _walk_all(lead, step, row, "filled")
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def _walk_all(lead: Lead, step: FillStep, row: StepRow, done: str) -> None:
    conn = await lead.worker("fill")
    try:
        await prepare(lead, step, conn)
        for piece in await _slices(lead, step):
            await _walk(lead, step, row, conn, piece)
        await _poison(lead, step, done)
    finally:
        await close(conn)


async def prepare(lead: Lead, step: FillStep, conn: Connection) -> None:
    """Give the session what a batch needs: it is neither version of the application, and it never waits long."""
    settings = lead.settings
    life_ms = max(20, round(lead.deadlock_timeout_ms * settings.batch_statement_timeout_share))
    wait_ms = max(5, round(lead.deadlock_timeout_ms * settings.batch_lock_timeout_share))
    replica = "SET session_replication_role = replica;" if step.triggers == "skip" else ""
    await run(
        conn,
        f"SET osc.writer = 'backfill'; SET statement_timeout = {life_ms}; SET lock_timeout = {wait_ms}; {WALK_THE_KEY} {replica}",
        deadline_s=settings.query_deadline_s,
    )


async def _slices(lead: Lead, step: FillStep) -> list[Slice]:
    """Return the slices, made at the first time with the end that is fixed now that the triggers are live (S21)."""
    found = await lead.ask(slices.of_step(lead.control, lead.number, step.id))
    if found:
        return found
    if not step.end:
        return await lead.ask(slices.create(lead.control, lead.number, step.id, [(None, None)], lead.epoch))
    end = await within(lead.control, lead.settings.query_deadline_s, fetch_one(lead.control, step.end, []))
    if end is None:
        return []
    return await lead.ask(slices.create(lead.control, lead.number, step.id, [(None, end[0])], lead.epoch))


async def claimed_lane(lead: Lead, step: FillStep, conn: Connection, piece: Slice) -> Lane | None:
    """Return a lane on ``piece`` under a new claim, or ``None`` if it is finished or walked by others."""
    mine = await lead.ask(slices.claim(lead.control, piece, lead.executor.owner))
    if mine is None:
        return None
    pace, settings = await Pace(lead).read(), lead.settings
    size = Servo(pace.batch_target_ms, settings.batch_rows_first, settings.batch_rows_min, settings.batch_rows_max)
    return Lane(lead, step, mine, conn, size, speed=pace.speed)


async def _walk(lead: Lead, step: FillStep, row: StepRow, conn: Connection, piece: Slice) -> None:
    lane = await claimed_lane(lead, step, conn, piece)
    if lane is None:
        return
    meter, pace = Meter(lead, step, seen=piece.rows_seen), Pace(lead)
    throttle = Throttle(lead, step, row, pace)
    finished = piece.finished
    async with throttle.watching():
        while not finished:
            await lead.may_go_on()
            await pace.apply(lane)
            await throttle.pass_through()
            lane.held = throttle.is_near
            finished, rows = await lane.batch()
            await meter.add(rows, lane)
    await _revisit_skipped(lead, step, row, lane)
    await lead.ask(slices.add_filled(lead.control, lane.slice, lane.filled))


async def _revisit_skipped(lead: Lead, step: FillStep, row: StepRow, lane: Lane) -> None:
    """Visit what was skipped until nothing is: nothing skipped is ever called complete (I8)."""
    rounds = 0
    while windows := await lead.ask(slices.skipped(lead.control, lane.slice.slice)):
        await lead.may_go_on()
        left = 0
        for window in windows:
            left += await _revisit(lane, window.lo, window.hi, window.skipped)
        if left:
            rounds += 1
            await _say_locked(lead, step, row, left)
            await lead.clock.sleep(min(lead.settings.revisit_pause_s * rounds, lead.settings.revisit_pause_max_s))
    await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, None))


async def _revisit(lane: Lane, lo: Key | None, hi: Key | None, note: int) -> int:
    """Visit a noted window; a row in it that became poison meanwhile is named, and the window visited once more."""
    try:
        return await lane.revisit(lo, hi, note) or 0
    except psycopg.Error as error:
        if is_poison(error):
            await lane.fill_around_poison(lo, hi, name=True)
            return 0
        if not is_busy(error):
            raise
        return 1  # locked or too slow at this moment: again later


async def _say_locked(lead: Lead, step: FillStep, row: StepRow, left: int) -> None:
    await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, "rows", {"rows_locked": left}))
    lead.report(
        "waiting",
        f"{left} rows of {step.table} are locked by others; everything else is filled",
        waiting="rows",
        step=step.id,
    )


async def _poison(lead: Lead, step: FillStep, done: str = "filled") -> None:
    """Try the named rows once more, then refuse if any is left: the phase cannot complete over them."""
    named = [one for one in await lead.ask(slices.poison(lead.control, lead.number)) if one.step == step.id]
    if not named:
        return
    left = []
    pieces = {piece.slice: piece for piece in await lead.ask(slices.of_step(lead.control, lead.number, step.id))}
    conn = await lead.worker("fill")
    try:
        await prepare(lead, step, conn)
        lane = await claimed_lane(lead, step, conn, next(iter(pieces.values())))
        for one in named:
            if lane is not None and await _mended(lane, one.key):
                await lead.ask(slices.clear_poison(lead.control, one))
            else:
                left.append(one)
    finally:
        await close(conn)
    if left:
        listed = "; ".join(
            f"({', '.join(one.key)}): {one.message} [{one.sqlstate}]" for one in left[: lead.settings.sample_keys_max]
        )
        raise Refused(
            f"{len(left)} rows of {step.table} cannot be {done}, all others are: {listed}",
            hint=f"mend these rows, then osc {'advance' if done == 'filled' else 'rollback'} {lead.change.id}",
            facts={"rows": len(left), "keys": [one.key for one in left[: lead.settings.sample_keys_max]]},
        )


async def _mended(lane: Lane, key: Key) -> bool:
    try:
        while (left := await lane.revisit(key, key, 0)) is None:
            await lane.lead.may_go_on()
        return left == 0
    except psycopg.Error as error:
        if is_poison(error) or is_busy(error):
            return False
        raise


async def undo(lead: Lead, step: FillStep, row: StepRow) -> None:
    """Put back what the fill kept, and forget the slices; a column that was added goes with the step that added it.

    Raises Refused when old values cannot be put back: these rows are named, all others have theirs.
    """
    if step.put_back is not None and step.table in lead.gone:
        await forget.everything(lead, step)  # there is no row left to put it back into
    elif step.put_back is not None:
        await _put_back(lead, step.put_back.model_copy(update={"id": step.id}), row)
    await lead.ask(slices.drop(lead.control, lead.number, step.id, lead.epoch))
    await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


async def _put_back(lead: Lead, step: FillStep, row: StepRow) -> None:
    """Walk what was kept. The slices of the fill go first, and the journal says so: from then on they are this walk's."""
    if not (row.result or {}).get(PUTTING_BACK):
        await lead.ask(slices.drop(lead.control, lead.number, step.id, lead.epoch))
        await lead.ask(journal.note(lead.control, lead.number, row.ordinal, lead.epoch, {PUTTING_BACK: True}))
    lead.report("step", step.title, phase=str(step.phase), step=step.id)
    await _walk_all(lead, step, row, "put back")
