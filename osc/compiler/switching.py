"""Switch, retire, drop: the trigger function changes sides in the same transaction as names and rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from osc.catalog.effects import AddTrigger, DropIndex, DropTrigger, Effect
from osc.compiler import finishing
from osc.compiler.ddl import ddl_step, ddl_steps
from osc.compiler.sync import Moment, TablePairs
from osc.names import QName, literal
from osc.operations.parts import ConstraintPart, Ddl, DropIndexPart, IndexPart, Part, Stage, SwitchPart
from osc.program import DdlStep, DropIndexStep, ForgetStep, Phase, Step, SwitchStep
from osc.sql import sync
from osc.sql.locks import Assertion, Lock, TableLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def steps(parts: Sequence[Part], pairs: Sequence[TablePairs], tables: Sequence[QName]) -> Iterator[Step]:
    """Yield the switch, then what prepares the way back (nothing forward), then catalog-only type changes."""
    if any(isinstance(part, SwitchPart) for part in parts):
        yield _switch(parts, pairs, tables)
    yield from ddl_steps(parts, Phase.SWITCH, Stage.SWITCH)
    yield from finishing.analyze_steps(parts, Phase.SWITCH, Stage.SWITCH)


def _switch(parts: Sequence[Part], pairs: Sequence[TablePairs], tables: Sequence[QName]) -> SwitchStep:
    switches = [part for part in parts if isinstance(part, SwitchPart)]
    switches.sort(key=lambda part: tables.index(part.table))
    synced = [table for table in pairs if table.has_trigger]
    change_sides = [statement for table in synced for statement in table.function_sql(Moment.SWITCHED)]
    sides_back = [statement for table in synced for statement in table.function_sql(Moment.BEFORE)]
    changed = ", ".join(str(table) for table in dict.fromkeys(part.table for part in switches))
    return SwitchStep(
        id="switch",
        phase=Phase.SWITCH,
        title=f"Make the new columns of {changed} the truth",
        sql=(*change_sides, *(statement for part in switches for statement in part.sql)),
        undo=(*(statement for part in reversed(switches) for statement in part.undo or ()), *sides_back),
        assertions=tuple(_still_stands(parts, synced)) + tuple(one for part in switches for one in part.assertions),
        undo_assertions=tuple(one for part in switches for one in part.undo_assertions),
        locks=_locks(switches, tables),
        effects=(*_trigger_effects(synced, Moment.SWITCHED), *(effect for part in switches for effect in part.effects)),
        undo_effects=(
            *(effect for part in reversed(switches) for effect in part.undo_effects),
            *_trigger_effects(synced, Moment.BEFORE),
        ),
        note="Refused unless a verification is fresh; indexes, constraints and triggers are looked at again under "
        "the lock.",
    )


def _locks(switches: Sequence[SwitchPart], tables: Sequence[QName]) -> tuple[TableLock, ...]:
    """Return the locks, referenced tables first: those outside the plan are referenced by those in it."""
    others = dict.fromkeys(lock for part in switches for lock in part.also_locks if lock.table not in tables)
    own = dict.fromkeys(TableLock(table=part.table, mode=Lock.ACCESS_EXCLUSIVE) for part in switches)
    also = [lock for part in switches for lock in part.also_locks if lock.table in tables and lock not in own]
    ordered = sorted(dict.fromkeys((*own, *also)), key=lambda lock: tables.index(lock.table))
    return (*sorted(others, key=lambda lock: lock.table), *ordered)


def _trigger_effects(synced: Sequence[TablePairs], moment: Moment) -> Iterator[Effect]:
    for table in synced:
        yield DropTrigger(table=table.name, name=table.trigger)
        yield AddTrigger(table=table.name, trigger=table.trigger_value(moment))


def _still_stands(parts: Sequence[Part], synced: Sequence[TablePairs]) -> Iterator[Assertion]:
    """Yield what must be true under the lock: what backfill built is there, valid, and the trigger is ours."""
    for table in synced:
        yield _trigger_is_ours(table, Moment.BEFORE)
    for part in parts:
        if isinstance(part, IndexPart) and part.phase is Phase.BACKFILL:
            yield _index_is_valid(part)
        if isinstance(part, ConstraintPart) and part.phase is Phase.BACKFILL:
            yield _constraint_is_valid(part)


def _trigger_is_ours(table: TablePairs, moment: Moment) -> Assertion:
    digest = hashlib.md5(table.body(moment).encode(), usedforsecurity=False).hexdigest()
    return Assertion(
        condition=f"""EXISTS (SELECT FROM pg_catalog.pg_trigger AS g JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
        WHERE g.tgrelid = {_regclass(table.name)} AND g.tgname = {literal(table.trigger)} AND g.tgenabled = 'A'
          AND pg_catalog.md5(p.prosrc) = '{digest}')""",
        message=f"the sync trigger of {table.name} is missing, disabled or changed",
        hint="rows written meanwhile may be out of step: put it back and verify, or roll back",
    )


def _index_is_valid(part: IndexPart) -> Assertion:
    return Assertion(
        condition=f"""EXISTS (SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = {_regclass(part.table)} AND c.relname = {literal(part.name)}
          AND i.indisvalid AND i.indisready AND i.indislive)""",
        message=f"index {part.name} is missing or not valid",
        hint="osc advance ... --to backfill builds it again",
    )


def _constraint_is_valid(part: ConstraintPart) -> Assertion:
    if part.set_not_null is not None:
        return Assertion(
            condition=f"""(SELECT attnotnull FROM pg_catalog.pg_attribute
        WHERE attrelid = {_regclass(part.table)} AND attname = {literal(part.set_not_null)} AND NOT attisdropped)""",
            message=f"column {part.table}.{part.set_not_null} is not NOT NULL any more",
        )
    validated = "AND convalidated" if part.validate_it else ""
    return Assertion(
        condition=f"""EXISTS (SELECT FROM pg_catalog.pg_constraint
        WHERE conrelid = {_regclass(part.table)} AND conname = {literal(part.name)} {validated})""",
        message=f"constraint {part.name} on {part.table} is missing or not validated",
    )


def _regclass(table: QName) -> str:
    return f"{literal(table.sql)}::pg_catalog.regclass"


def retire_steps(parts: Sequence[Part], pairs: Sequence[TablePairs]) -> Iterator[DdlStep]:
    """Yield one transaction a table and what prepares the way back: old columns go out of reach, and the trigger follows them there."""
    stage = [part for part in parts if isinstance(part, Ddl) and part.stage is Stage.RETIRE]
    retiring = [part for part in stage if part.sql]
    for part in retiring:
        table = next((one for one in pairs if one.has_trigger and _first(retiring, one.name) is part), None)
        if table is None and any(one.has_trigger and part in _of(retiring, one.name) for one in pairs):
            continue  # merged into the table's first
        yield _retire(_of(retiring, table.name), table) if table else ddl_step(part)
    yield from (ddl_step(part) for part in stage if not part.sql)  # the way back begins with these


def _of(retiring: Sequence[Ddl], table: QName) -> list[Ddl]:
    """A part may lock tables that its own refers to as well; what it changes is its own alone."""
    return [part for part in retiring if any(effect.table == table for effect in part.effects)]


def _first(retiring: Sequence[Ddl], table: QName) -> Ddl | None:
    return next(iter(_of(retiring, table)), None)


def _retire(parts: Sequence[Ddl], table: TablePairs) -> DdlStep:
    return DdlStep(
        id=f"retire.{table.name.name}",
        phase=Phase.CONTRACT,
        title="; ".join(part.title for part in parts),
        sql=(*table.function_sql(Moment.RETIRED), *(statement for part in parts for statement in part.sql)),
        undo=(
            *(statement for part in reversed(parts) for statement in part.undo or ()),
            *table.function_sql(Moment.SWITCHED),
        ),
        locks=tuple(dict.fromkeys(lock for part in parts for lock in part.locks)),
        effects=(*_trigger_effects([table], Moment.RETIRED), *(effect for part in parts for effect in part.effects)),
        undo_effects=(
            *(effect for part in reversed(parts) for effect in part.undo_effects),
            *_trigger_effects([table], Moment.SWITCHED),
        ),
        note="The trigger goes on: until the drop the old column can come back with nothing lost.",
    )


def drop_steps(parts: Sequence[Part], pairs: Sequence[TablePairs]) -> Iterator[Step]:
    """Yield what is final: triggers, then indexes of old columns, then the columns."""
    for table in pairs:
        yield from _drop_triggers(table)
    for part in parts:
        if isinstance(part, DropIndexPart):
            yield DropIndexStep(
                id=f"drop_index.{part.name}",
                phase=Phase.CONTRACT,
                title=part.title or f"Drop index {part.name}",
                table=part.table,
                name=part.name,
                locks=(TableLock(table=part.table, mode=Lock.SHARE_UPDATE_EXCLUSIVE),),
                effects=(DropIndex(table=part.table, name=part.name),),
            )
    yield from ddl_steps(parts, Phase.CONTRACT, Stage.DROP)
    keeping = [table for table in pairs if table.keeps]
    if keeping:
        yield _forget(keeping)


def _forget(tables: Sequence[TablePairs]) -> ForgetStep:
    columns = [f"{table.name}.{pair.final}" for table in tables for pair in table.pairs if pair.keeps]
    return ForgetStep(
        id="forget",
        phase=Phase.CONTRACT,
        title=f"Forget what was kept of {', '.join(columns)}; from here on nothing can be put back",
        note="Until now osc.kept has the key and the value of every row that was filled.",
    )


def _drop_triggers(table: TablePairs) -> Iterator[DdlStep]:
    triggers = [(table.trigger, table.function)] if table.has_trigger else []
    triggers += [(table.restore_trigger, table.restore_function)] if table.restores else []
    if triggers:
        yield DdlStep(
            id=f"drop_trigger.{table.name.name}",
            phase=Phase.CONTRACT,
            title=f"Drop the triggers of osc on {table.name}; from here on there is no way back",
            sql=tuple(
                statement
                for trigger, function in triggers
                for statement in sync.drop_trigger(table.name, trigger, function)
            ),
            undo=None,
            locks=(TableLock(table=table.name, mode=Lock.ACCESS_EXCLUSIVE),),
            effects=tuple(DropTrigger(table=table.name, name=trigger) for trigger, _ in triggers),
        )
