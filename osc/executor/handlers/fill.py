"""The fill step: slices made and claimed, lanes walked, skipped windows visited again, poison rows named."""

from __future__ import annotations

import psycopg

from osc.errors import Refused
from osc.executor.backfill import slicing
from osc.executor.backfill.crew import crew_for, lane_of
from osc.executor.backfill.lane import Lane, Rewritten
from osc.executor.backfill.pace import Pace
from osc.executor.backfill.session import prepare
from osc.executor.backfill.statements import is_busy, is_poison
from osc.executor.handlers import forget
from osc.executor.lead import Lead
from osc.pg.session import Connection, close
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
    while True:
        crew = await crew_for(lead, step, row)
        try:
            await crew.work()
            return await _poison(lead, step, done)
        except Rewritten:
            lead.report("note", f"{step.table} was rewritten; its blocks are walked anew", step=step.id)
            await slicing.begin_anew(lead, step)


async def claimed_lane(lead: Lead, step: FillStep, conn: Connection, piece: Slice, *, walk: str = "") -> Lane | None:
    """Return a lane on ``piece`` under a new claim, or ``None`` if it is walked by others.

    ``walk`` is how windows are visited, if not as the slice is walked.
    """
    mine = await lead.ask(slices.claim(lead.control, piece, lead.executor.owner))
    if mine is None:
        return None
    pace = await Pace(lead).read()
    return lane_of(lead, step, mine, conn, pace, await slicing.look(lead, step), walk=walk)


async def _poison(lead: Lead, step: FillStep, done: str = "filled") -> None:
    """Try the named rows once more, then refuse if any is left: the phase cannot complete over them."""
    named = [one for one in await lead.ask(slices.poison(lead.control, lead.number)) if one.step == step.id]
    if not named:
        return
    left = []
    pieces = await lead.ask(slices.of_step(lead.control, lead.number, step.id))
    conn = await lead.worker("fill")
    try:
        await prepare(lead, step, conn)
        lane = await claimed_lane(lead, step, conn, pieces[0], walk="keyset" if step.key else "blocks")
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
