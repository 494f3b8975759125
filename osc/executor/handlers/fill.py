"""The fill step: slices made and claimed, lanes walked, skipped windows visited again, poison rows named."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from osc.errors import Refused
from osc.executor.backfill import slicing
from osc.executor.backfill.crew import crew_for, lane_of
from osc.executor.backfill.ground import Rewritten
from osc.executor.backfill.lane import Lane
from osc.executor.backfill.leaves import LeavesChanged, on
from osc.executor.backfill.pace import Pace
from osc.executor.backfill.session import prepare
from osc.executor.backfill.statements import fetch_one, is_busy, is_poison
from osc.executor.handlers import forget
from osc.executor.lead import Lead
from osc.pg.session import Connection, close
from osc.program import FillStep
from osc.redaction import HELD_BACK, KEYS, Quoted
from osc.sql import pages
from osc.state import journal, slices
from osc.state.journal import StepRow
from osc.state.slices import Key, Poison, Slice

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
            if step.leaf is None or not await _came_meanwhile(lead, step):
                return await _poison(lead, step, done)
        except Rewritten as rewritten:
            lead.report("note", f"{step.table} was rewritten; its blocks are walked anew", step=step.id)
            await slicing.begin_anew(lead, step, None if rewritten.leaf is None else [rewritten.leaf])
        except LeavesChanged:
            lead.report(
                "note", f"partitions of {step.table} changed; the walk goes on with those that are there", step=step.id
            )


async def _came_meanwhile(lead: Lead, step: FillStep) -> bool:
    """Return whether a partition was attached or made since the walk began (F72)."""
    await slicing.cut_all(lead, step, await Pace(lead).read())
    return await lead.ask(slices.is_open(lead.control, lead.number, step.id))


async def claimed_lane(lead: Lead, step: FillStep, conn: Connection, piece: Slice, *, walk: str = "") -> Lane | None:
    """Return a lane on ``piece`` under a new claim, or ``None`` if it is walked by others or lies in no leaf any more.

    ``walk`` is how windows are visited, if not as the slice is walked.
    """
    here = await on(lead, step, piece.leaf)
    mine = await lead.ask(slices.claim(lead.control, piece, lead.executor.owner)) if here is not None else None
    if here is None or mine is None:
        return None
    pace = await Pace(lead).read()
    return lane_of(lead, here, mine, conn, pace, await slicing.look(lead, here), walk=walk)


async def lane_at(lead: Lead, step: FillStep, conn: Connection, leaf: int | None) -> Lane | None:
    """Return a lane for visits row by row in the table, or its leaf of that oid, fenced by any slice of it.

    A slice is made where the fill needed none. ``None`` as for ``claimed_lane``.
    """
    here = await on(lead, step, leaf)
    if here is None:
        return None
    pieces = [one for one in await lead.ask(slices.of_step(lead.control, lead.number, step.id)) if one.leaf == leaf]
    if not pieces and not step.key:
        pieces = await slicing.cut(lead, here, await Pace(lead).read(), await slicing.look(lead, here), leaf)
    if not pieces:
        pieces = await lead.ask(
            slices.create(lead.control, lead.number, step.id, [(None, None)], lead.epoch, leaf=leaf)
        )
    return await claimed_lane(lead, step, conn, pieces[0], walk="keyset" if step.key else "blocks")


async def _poison(lead: Lead, step: FillStep, done: str = "filled") -> None:
    """Try the named rows once more, then refuse if any is left: the phase cannot complete over them."""
    named = [one for one in await lead.ask(slices.poison(lead.control, lead.number)) if one.step == step.id]
    if not named:
        return
    left = []
    conn = await lead.worker("fill")
    try:
        await prepare(lead, step, conn)
        lanes: dict[int | None, Lane | None] = {}
        for one in named:
            if await _mended(lead, step, conn, lanes, one.key):
                await lead.ask(slices.clear_poison(lead.control, one))
            else:
                left.append(one)
    finally:
        await close(conn)
    if left:
        named = left[: lead.settings.sample_keys_max]
        listed = _listed(named)
        raise Refused(
            f"{len(left)} rows of {step.table} cannot be {done}, all others are{listed.words}",
            hint=f"mend these rows, then osc {'advance' if done == 'filled' else 'rollback'} {lead.change.id}",
            facts={"rows": len(left), KEYS: [one.key for one in named]},
            quoted=[listed],
        )


def _listed(named: Sequence[Poison]) -> Quoted:
    """Return rows and what the server says of each: in words that a function of the application may have chosen."""
    words = "; ".join(f"({', '.join(one.key)}): {one.message} [{one.sqlstate}]" for one in named)
    instead = "; ".join(f"(key {n}, {HELD_BACK}) [{one.sqlstate}]" for n, one in enumerate(named, start=1))
    return Quoted(f": {words}", f": {instead}")


async def _mended(lead: Lead, step: FillStep, conn: Connection, lanes: dict[int | None, Lane | None], key: Key) -> bool:
    """Fill a row that was named; return whether nothing is left to do for it: it may be gone, or its leaf."""
    leaf, place = await _place(lead, step, key)
    if step.leaf is not None and leaf is None:
        return True
    if leaf not in lanes:
        lanes[leaf] = await lane_at(lead, step, conn, leaf)
    lane = lanes[leaf]
    if lane is None:
        return await on(lead, step, leaf) is None
    try:
        while (left := await lane.revisit(place, place, 0)) is None:
            await lead.may_go_on()
        return left == 0
    except LeavesChanged:
        return False
    except psycopg.Error as error:
        if is_poison(error) or is_busy(error):
            return False
        raise


async def _place(lead: Lead, step: FillStep, key: Key) -> tuple[int | None, Key]:
    """Return the leaf that a named row lies in now, and its place in the walk there."""
    if step.leaf is None:
        return None, key
    if not step.key:
        return int(key[0]), key[1:]
    row = await lead.ask(fetch_one(lead.control, pages.leaf_of(step.table, step.key), [key]))
    return (int(row[0]) if row else None), key


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
