"""Fill and verification of a table: one pass for all its pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

from osc.compiler.sync import Moment, TablePairs
from osc.names import literal, quote
from osc.program import FillStep, Phase, VerifyStep, Walk
from osc.sql import batch, passing, putback, verification, verification_by_blocks
from osc.sql.keyset import KeyColumn
from osc.sql.locks import Lock, TableLock
from osc.sql.pages import CTID, LEAF, ByBlock, ByKey, ByPlace, last_edge, next_edge


def steps(pairs: Sequence[TablePairs], phase: Phase) -> Iterator[FillStep | VerifyStep]:
    """Yield the fills of ``phase`` and then their verifications."""
    now = [table for table in pairs if table.phase is phase and table.pairs]
    for table in now:
        yield _fill(table)
    yield from _verifications(now, phase, Moment.BEFORE)


def _fill(table: TablePairs) -> FillStep:
    guard = _trigger_stands(table)
    note = "Each batch is one statement and one transaction: fence, checkpoint and rows commit together."
    if table.leaf is not None:
        note += f" Partitions are filled one by one; {table.leaf} stands for the one at hand."
    along = _by_key(table, guard) if table.key else NO_WALK
    return FillStep(
        id=f"fill.{table.name.name}",
        phase=table.phase,
        title=f"Fill {', '.join(pair.target for pair in table.pairs)} of {table.name} in batches",
        table=table.name,
        key=table.key,
        columns=tuple(pair.target for pair in table.pairs),
        batch=along.batch,
        skipping=along.skipping,
        revisit=along.revisit,
        pass_over=along.pass_over,
        end=along.end,
        wave=along.wave,
        next_edge=along.next_edge,
        last_edge=along.last_edge,
        close=along.close,
        blocks=None if table.keeps else _by_blocks(table, guard),
        guard=guard,
        triggers=_triggers(table),
        leaf=table.leaf,
        put_back=_put_back(table) if table.keeps else None,
        locks=(TableLock(table=table.name, mode=Lock.ROW_EXCLUSIVE),),
        note=f"{note} {_kept(table)}" if table.keeps else note,
    )


NO_WALK = Walk(batch="", skipping="", revisit="", pass_over="", end="")
"""Of a table without a key: it is walked by blocks only."""


def _by_key(table: TablePairs, guard: str) -> Walk:
    filled, page = table.filled(), ByKey(table.walked, table.key, table.root)
    return Walk(
        batch=batch.plain(page, filled, guard=guard),
        skipping=batch.skipping(page, filled, guard=guard),
        revisit=batch.revisit(page, filled, guard=guard),
        pass_over=passing.pass_over(page, guard=guard),
        end=batch.end(page),
        **({} if table.keeps else _waves_by_key(table, guard)),
    )


def _waves_by_key(table: TablePairs, guard: str) -> dict[str, str]:
    """Return what goes through windows of keys in waves, by the blocks in which their rows lie: they are read in their order."""
    filled, page = table.filled(), ByKey(table.walked, table.key, table.root)
    return {
        "wave": batch.wave(ByPlace(table.walked, table.key, table.root), filled, guard=guard),
        "next_edge": next_edge(page),
        "last_edge": last_edge(page),
        "close": batch.close(page, filled, guard=guard),
    }


def _by_blocks(table: TablePairs, guard: str) -> Walk:
    filled, page = table.filled(), ByBlock(table.walked, _named_by(table), table.root)
    return Walk(
        batch=batch.plain(page, filled, guard=guard),
        skipping=batch.skipping(page, filled, guard=guard),
        revisit=batch.revisit(page, filled, guard=guard),
        pass_over=passing.note_and_move(page, guard=guard),
        end=batch.end_of_blocks(table.walked),
        wave=batch.wave(page, filled, guard=guard),
        unfilled=batch.unfilled(page, [pair.target for pair in table.pairs]),
    )


def _named_by(table: TablePairs) -> tuple[KeyColumn, ...]:
    """Return what rows are named by: without a key by their place, which tells them apart only within a leaf."""
    return table.key if table.key or table.leaf is None else (LEAF, *CTID)


def _triggers(table: TablePairs) -> Literal["refuse", "fire", "skip"]:
    return "skip" if table.fire == "skip" else "fire" if table.fire == "fire" else "refuse"


def _kept(table: TablePairs) -> str:
    own = ", ".join(pair.target for pair in table.pairs if pair.keeps)
    return (
        f"Of {own} only NULLs are written; key and value of each such row are kept in osc.kept until contract's end, and "
        "osc rollback puts NULL back wherever that value still stands."
    )


def _put_back(table: TablePairs) -> FillStep:
    """What the fill fired it fires, what the fill skipped it skips; osc's batches pass the sync trigger by as ever."""
    own, key = [one for one in table.filled() if one.keeps], table.key
    return FillStep(
        id=f"put_back.{table.name.name}",
        phase=table.phase,
        title=f"Put back the old values of {', '.join(one.target for one in own)} of {table.name} in batches",
        table=table.name,
        key=putback.KEY,
        columns=tuple(one.target for one in own),
        batch=putback.plain(table.name, key, own),
        skipping=putback.skipping(table.name, key, own),
        revisit=putback.revisit(table.name, key, own),
        pass_over=putback.pass_over(),
        end="",
        unfilled=putback.UNFILLED,
        triggers=_triggers(table),
        locks=(TableLock(table=table.name, mode=Lock.ROW_EXCLUSIVE),),
    )


def _trigger_stands(table: TablePairs) -> str:
    """Return the condition under which filling makes sense.

    Without the trigger, or with another body in it, rows would fall out of step behind the fill; and a trigger that
    nobody knew of would do its work for every row that the fill writes (I7).
    """
    conditions = [_no_trigger_unknown(table)] if _unknown_ones_matter(table) else []
    if table.has_trigger:
        digest = hashlib.md5(table.body(Moment.BEFORE).encode(), usedforsecurity=False).hexdigest()
        conditions.append(
            "EXISTS (SELECT FROM pg_catalog.pg_trigger AS g JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid\n"
            f"        WHERE g.tgrelid = {literal(table.walked.sql)}::pg_catalog.regclass AND g.tgname = {literal(table.trigger)}\n"
            f"          AND g.tgenabled = 'A' AND pg_catalog.md5(p.prosrc) = '{digest}')"
        )
    return "\n      AND ".join(conditions) or "true"


def _unknown_ones_matter(table: TablePairs) -> bool:
    return not (table.restores and table.fire == "fire")


def _no_trigger_unknown(table: TablePairs) -> str:
    """BEFORE row triggers are put back where a restoring trigger stands; what may fire is what the plan says."""
    known = ", ".join(literal(one.name).strip() for one in table.table.triggers)
    ours = ", ".join(literal(name) for name in (table.trigger, table.restore_trigger))
    fires = "'R', 'A'" if table.fire == "skip" else "'O', 'A'"
    kinds = "g.tgtype & 3 <> 3" if table.restores else "g.tgtype & 3 = 3" if table.fire == "fire" else "true"
    return (
        f"NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = {literal(table.walked.sql)}::pg_catalog.regclass\n"
        f"        AND NOT g.tgisinternal AND g.tgtype & 16 <> 0 AND g.tgenabled IN ({fires}) AND {kinds}\n"
        f"        AND g.tgname NOT IN ({', '.join(filter(None, (known, ours)))}))"
    )


def way_back_verifications(pairs: Sequence[TablePairs]) -> Iterator[VerifyStep]:
    """Yield the verifications of both sides behind the switch, which is what the way back stands on."""
    yield from _verifications(pairs, Phase.CONTRACT, Moment.SWITCHED)


def _verifications(pairs: Sequence[TablePairs], phase: Phase, moment: Moment) -> Iterator[VerifyStep]:
    """Yield one verification a table, with the names that hold at ``moment``."""
    is_behind, lost = moment is Moment.SWITCHED, verification.lost_going_on
    for table in pairs:
        compared, key = table.compared(moment), table.key
        if moment is not Moment.BEFORE:
            compared = tuple(one for one in compared if one.source is not None)
        if not compared:
            continue
        pages = verification if key else verification_by_blocks
        step = VerifyStep(
            id=f"verify.{table.name.name}",
            phase=phase,
            title=f"Verify that every row of {table.name} is in step",
            table=table.name,
            key=key,
            count=pages.count(table.walked, key, compared, root=table.root),
            sample=pages.sample(table.walked, key, compared, root=table.root),
            count_going_on=pages.count(table.walked, key, compared, lost, root=table.root) if is_behind else "",
            sample_going_on=pages.sample(table.walked, key, compared, lost, root=table.root) if is_behind else "",
            next_key=pages.next_key(table.walked, key, root=table.root),
            leaf=table.leaf,
            ranged=True,
            columns=tuple(quote(one.target) for one in compared),
            locks=(TableLock(table=table.name, mode=Lock.ACCESS_SHARE),),
        )
        yield _of_own_columns(step, table) if all(pair.keeps for pair in table.pairs) else step


def _of_own_columns(step: VerifyStep, table: TablePairs) -> VerifyStep:
    columns = ", ".join(pair.target for pair in table.pairs)
    told = {
        "title": f"Verify that no row of {table.name} holds NULL in {columns}",
        "wrong": f"still hold NULL in {columns}",
        "hint": "the application still writes NULL there, or fill gives NULL for them: give these rows a value, let the "
        "application write one, and go on",
    }
    return step.model_copy(update=told)
