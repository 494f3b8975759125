"""Fill and verification of a table: one pass for all its pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from osc.compiler.sync import Moment, TablePairs
from osc.names import literal, quote
from osc.program import FillStep, Phase, VerifyStep
from osc.sql import batch, verification
from osc.sql.locks import Lock, TableLock


def steps(pairs: Sequence[TablePairs]) -> Iterator[FillStep | VerifyStep]:
    """Yield the fills and then the verifications of backfill."""
    for table in pairs:
        yield _fill(table)
    yield from verifications(pairs, Phase.BACKFILL, Moment.BEFORE)


def _fill(table: TablePairs) -> FillStep:
    filled, key = table.filled(), table.key
    columns = tuple(pair.target for pair in table.pairs)
    guard = _trigger_stands(table)
    return FillStep(
        id=f"fill.{table.name.name}",
        phase=Phase.BACKFILL,
        title=f"Fill {', '.join(columns)} of {table.name} in batches",
        table=table.name,
        key=key,
        columns=columns,
        batch=batch.plain(table.name, key, filled, guard=guard),
        skipping=batch.skipping(table.name, key, filled, guard=guard),
        revisit=batch.revisit(table.name, key, filled, guard=guard),
        pass_over=batch.pass_over(table.name, key, guard=guard),
        end=batch.end(table.name, key),
        guard=guard,
        triggers="skip" if table.fire == "skip" else "fire" if table.fire == "fire" else "refuse",
        locks=(TableLock(table=table.name, mode=Lock.ROW_EXCLUSIVE),),
        note="Each batch is one statement and one transaction: fence, checkpoint and rows commit together.",
    )


def _trigger_stands(table: TablePairs) -> str:
    """Return the condition under which filling makes sense.

    Without the trigger, or with another body in it, rows would fall out of step behind the fill; and a trigger that
    nobody knew of would do its work for every row that the fill writes (I7).
    """
    conditions = [_no_trigger_unknown(table)] if _unknown_ones_matter(table) else []
    if table.synced:
        digest = hashlib.md5(table.body(Moment.BEFORE).encode(), usedforsecurity=False).hexdigest()
        conditions.append(
            "EXISTS (SELECT FROM pg_catalog.pg_trigger AS g JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid\n"
            f"        WHERE g.tgrelid = {literal(table.name.sql)}::pg_catalog.regclass AND g.tgname = {literal(table.trigger)}\n"
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
        f"NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS g WHERE g.tgrelid = {literal(table.name.sql)}::pg_catalog.regclass\n"
        f"        AND NOT g.tgisinternal AND g.tgtype & 16 <> 0 AND g.tgenabled IN ({fires}) AND {kinds}\n"
        f"        AND g.tgname NOT IN ({', '.join(filter(None, (known, ours)))}))"
    )


def verifications(pairs: Sequence[TablePairs], phase: Phase, moment: Moment) -> Iterator[VerifyStep]:
    """Yield one verification a table, with the names that hold at ``moment``."""
    for table in pairs:
        compared, key = table.compared(moment), table.key
        if moment is not Moment.BEFORE:
            compared = tuple(one for one in compared if one.source is not None)
        if not compared:
            continue
        yield VerifyStep(
            id=f"verify.{table.name.name}",
            phase=phase,
            title=f"Verify that every row of {table.name} is in step",
            table=table.name,
            key=key,
            count=verification.count(table.name, key, compared),
            sample=verification.sample(table.name, key, compared),
            next_key=verification.next_key(table.name, key),
            columns=tuple(quote(one.target) for one in compared),
            locks=(TableLock(table=table.name, mode=Lock.ACCESS_SHARE),),
        )
