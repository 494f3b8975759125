"""The steps of each phase, in order. Everything that takes time is in backfill; switch is one short transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.catalog.effects import AddTrigger, DropTrigger
from osc.compiler import filling, finishing, gates, switching
from osc.compiler.ddl import ddl_steps
from osc.compiler.sync import Moment, TablePairs
from osc.names import literal
from osc.operations.parts import Part, Stage
from osc.program import DdlStep, GateStep, Phase, SqlStep, Step
from osc.sql import sync
from osc.sql.locks import Assertion, Lock, TableLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.catalog import Catalog
    from osc.names import QName
    from osc.plan.model import Plan


def phase_steps(
    phase: Phase,
    plan: Plan,
    catalog: Catalog,
    parts: Sequence[Part],
    pairs: Sequence[TablePairs],
    tables: Sequence[QName],
) -> Iterator[Step]:
    """Yield the steps of ``phase``: its gates, the operations' steps, then the author's own statements."""
    yield from gates.steps(plan, phase)
    match phase:
        case Phase.EXPAND:
            yield from ddl_steps(parts, Phase.EXPAND, Stage.BEFORE_FILL)
        case Phase.DUAL_WRITE:
            yield from _triggers(pairs)
            yield from ddl_steps(parts, Phase.DUAL_WRITE, Stage.BEFORE_FILL)
        case Phase.BACKFILL:
            yield from ddl_steps(parts, Phase.BACKFILL, Stage.BEFORE_FILL)
            yield from filling.steps(pairs, phase)
            yield from finishing.steps(parts, Phase.BACKFILL, catalog)
        case Phase.SWITCH:
            yield from switching.steps(parts, pairs, tables)
        case Phase.CONTRACT:
            yield from _contract(plan, catalog, parts, pairs)
    yield from _own_statements(plan, phase)


def _triggers(pairs: Sequence[TablePairs]) -> Iterator[DdlStep]:
    for table in pairs:
        if table.restores:
            yield _restore_trigger(table)
        if table.has_trigger:
            yield _sync_trigger(table)


def _sync_trigger(table: TablePairs) -> DdlStep:
    names = ", ".join(f"{pair.source or 'its row'} and {pair.target}" for pair in table.synced)
    leaving = ", ".join(one.column for one in table.leaving if one.value is not None)
    keep = f"Keep {names} of {table.name} in step by a trigger" if names else ""
    give = (
        f"Give {leaving} of {table.name} a value by a trigger in rows that the new application inserts"
        if leaving
        else ""
    )
    return DdlStep(
        id=f"sync_trigger.{table.name.name}",
        phase=Phase.DUAL_WRITE,
        title="; ".join(filter(None, (keep, give))),
        sql=(*table.function_sql(Moment.BEFORE), *sync.create_trigger(table.name, table.trigger, table.function)),
        undo=sync.undo_trigger(table.name, table.trigger, table.function),
        assertions=(_is_free(table.function),),
        locks=(TableLock(table=table.name, mode=Lock.SHARE_ROW_EXCLUSIVE),),
        undo_locks=(TableLock(table=table.name, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=(AddTrigger(table=table.name, trigger=table.trigger_value(Moment.BEFORE)),),
        undo_effects=(DropTrigger(table=table.name, name=table.trigger),),
        note="It sorts behind every other trigger, fires for replica-role writers too, and touches only the row at "
        "hand.",
    )


def _restore_trigger(table: TablePairs) -> DdlStep:
    targets = [pair.target for pair in table.pairs]
    return DdlStep(
        id=f"restore_trigger.{table.name.name}",
        phase=Phase.DUAL_WRITE,
        title=f"In osc's own batches put back what triggers of {table.name} change besides {', '.join(targets)}",
        sql=(
            *sync.create_restore_function(table.restore_function, targets, comment=table.comment),
            *sync.create_restore_trigger(table.name, table.restore_trigger, table.restore_function),
        ),
        undo=sync.undo_trigger(table.name, table.restore_trigger, table.restore_function),
        assertions=(_is_free(table.restore_function),),
        locks=(TableLock(table=table.name, mode=Lock.SHARE_ROW_EXCLUSIVE),),
        undo_locks=(TableLock(table=table.name, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=(AddTrigger(table=table.name, trigger=table.restore_value()),),
        undo_effects=(DropTrigger(table=table.name, name=table.restore_trigger),),
    )


def _is_free(function: QName) -> Assertion:
    """CREATE OR REPLACE would put our body into a stranger's function (I28)."""
    return Assertion(
        condition=f"pg_catalog.to_regprocedure({literal(function.sql + '()')}) IS NULL",
        message=f"function {function}() exists already and is not of this attempt",
        hint="look at what it is, drop it, then osc advance",
    )


def _contract(plan: Plan, catalog: Catalog, parts: Sequence[Part], pairs: Sequence[TablePairs]) -> Iterator[Step]:
    if any(pair.source is not None for table in pairs for pair in table.pairs):
        yield from filling.way_back_verifications(pairs)
    yield from filling.steps(pairs, Phase.CONTRACT)
    yield from finishing.steps(parts, Phase.CONTRACT, catalog)
    yield from switching.retire_steps(parts, pairs)
    if plan.contract.keep_for is not None and plan.contract.keep_for.amount:
        yield GateStep(
            id="gate.keep_for",
            phase=Phase.CONTRACT,
            gate_kind="after",
            gate="keep-for",
            seconds=round(plan.contract.keep_for.seconds),
            title=f"Keep the old objects for {plan.contract.keep_for}",
        )
    yield from switching.drop_steps(parts, pairs)


def _own_statements(plan: Plan, phase: Phase) -> Iterator[SqlStep]:
    for number, run in enumerate(plan.phase(phase).run, 1):
        yield SqlStep(
            id=f"run.{number}",
            phase=phase,
            title=f"The plan's own statement {number}" + ("" if run.transaction else ", outside of a transaction"),
            sql=(str(run.sql),),
            undo=(str(run.undo),) if run.undo is not None else None,
            locks=tuple(TableLock(table=table, mode=Lock.ACCESS_EXCLUSIVE) for table in run.lock),
            transaction=run.transaction,
        )
