"""What follows the fill: index builds, constraints added NOT VALID and validated, statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.catalog.effects import AddConstraint, DropConstraint, DropIndex, Effect, SetColumn, SetConstraint
from osc.compiler.ddl import ddl_step
from osc.names import literal, quote
from osc.operations.parts import (
    AnalyzePart,
    ConstraintPart,
    Ddl,
    IndexPart,
    Pair,
    Part,
    Stage,
    constraint_of,
    effects_of,
)
from osc.program import AnalyzeStep, DdlStep, IndexStep, Phase, Step, ValidateStep
from osc.sql.locks import Lock, TableLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.catalog import Catalog


def steps(parts: Sequence[Part], phase: Phase, catalog: Catalog) -> Iterator[Step]:
    """Yield the steps behind the fill of ``phase``, in the order of the operations; statistics come last."""
    for part in parts:
        match part:
            case IndexPart() if part.phase is phase:
                yield index_step(part, phase)
            case ConstraintPart() if part.phase is phase:
                yield from _constraint_steps(part)
            case Ddl() if part.phase is phase and part.stage is Stage.AFTER_FILL:
                yield ddl_step(part)
    wanted = parts if phase is Phase.BACKFILL else ()
    yield from analyze_steps([*wanted, *_filled_in_place(parts, phase)], phase, Stage.AFTER_FILL)


def _filled_in_place(parts: Sequence[Part], phase: Phase) -> Iterator[AnalyzePart]:
    """Yield the columns that were there and are filled in ``phase``: how many of their rows are NULL has changed."""
    for part in parts:
        if isinstance(part, Pair) and part.keeps and part.phase is phase:
            yield AnalyzePart(table=part.table, columns=(part.target,))


def index_step(part: IndexPart, phase: Phase) -> IndexStep:
    """Return the step that builds an index."""
    return IndexStep(
        id=f"index.{part.name}",
        phase=phase,
        title=part.title or f"Build index {part.name}",
        table=part.table,
        name=part.name,
        unique=part.unique,
        on=part.on,
        comment=part.comment,
        locks=(TableLock(table=part.table, mode=Lock.SHARE_UPDATE_EXCLUSIVE),),
        effects=effects_of(part),
        undo_effects=(DropIndex(table=part.table, name=part.name),),
        note="Built under a name of its own and renamed when it is valid; a failed build is dropped and tried again.",
    )


def _constraint_steps(part: ConstraintPart) -> Iterator[Step]:
    yield _add(part)
    if part.validate_it:
        yield _validate(part)
    if part.set_not_null is not None:
        yield _set_not_null(part, part.set_not_null)


def _locks(part: ConstraintPart) -> tuple[TableLock, ...]:
    mode = Lock.SHARE_ROW_EXCLUSIVE if part.type == "f" else Lock.ACCESS_EXCLUSIVE
    other = (TableLock(table=part.references, mode=mode),) if part.references and part.references != part.table else ()
    return (*other, TableLock(table=part.table, mode=mode))


def _add(part: ConstraintPart) -> DdlStep:
    table, name = part.table, quote(part.name)
    comment = (f"COMMENT ON CONSTRAINT {name} ON {table.sql} IS {literal(part.comment)}",) if part.comment else ()
    constraint = constraint_of(part)
    strong = tuple(lock.model_copy(update={"mode": Lock.ACCESS_EXCLUSIVE}) for lock in _locks(part))
    return DdlStep(
        id=f"constraint.{part.name}",
        phase=part.phase,
        title=f"{part.title or 'Add constraint ' + part.name}: for new rows, not yet validated",
        sql=(part.add, *comment),
        undo=(f"ALTER TABLE {table.sql} DROP CONSTRAINT {name}",),
        locks=_locks(part),
        undo_locks=strong,
        effects=(AddConstraint(table=table, constraint=constraint),),
        undo_effects=(DropConstraint(table=table, name=part.name),),
    )


def _validate(part: ConstraintPart) -> ValidateStep:
    validated = SetConstraint(table=part.table, name=part.name, values={"validated": True})
    column = SetColumn(table=part.table, name=part.columns[0], values={"not_null": True}) if part.type == "n" else None
    return ValidateStep(
        id=f"validate.{part.name}",
        phase=part.phase,
        title=f"Validate {part.name} against the rows that are there",
        table=part.table,
        constraint=part.name,
        sql=f"ALTER TABLE {part.table.sql} VALIDATE CONSTRAINT {quote(part.name)}",
        violations=part.violations,
        locks=(TableLock(table=part.table, mode=Lock.SHARE_UPDATE_EXCLUSIVE),),
        effects=(validated, column) if column else (validated,),
        undo_effects=_unproven(part),
        note="Reads and writes go on; no statement timeout.",
    )


def _unproven(part: ConstraintPart) -> tuple[Effect, ...]:
    """Undoing what was validated changes nothing but what the Catalog counts as proven once the constraint goes."""
    if part.type != "n":
        return ()
    return (
        SetConstraint(table=part.table, name=part.name, values={"validated": False}),
        SetColumn(table=part.table, name=part.columns[0], values={"not_null": False}),
    )


def _set_not_null(part: ConstraintPart, column: str) -> DdlStep:
    """The undo puts the column back; the check that was dropped here is not needed for that."""
    alter = f"ALTER TABLE {part.table.sql}"
    check = constraint_of(part)
    return DdlStep(
        id=f"not_null.{part.table.name}.{column}",
        phase=part.phase,
        title=f"Set {part.table}.{column} NOT NULL, proven by {part.name}, which goes",
        sql=(f"{alter} ALTER COLUMN {quote(column)} SET NOT NULL", f"{alter} DROP CONSTRAINT {quote(part.name)}"),
        undo=(
            f"{alter} ADD CONSTRAINT {quote(part.name)} CHECK ({quote(column)} IS NOT NULL) NOT VALID",
            f"{alter} ALTER COLUMN {quote(column)} DROP NOT NULL",
        ),
        locks=(TableLock(table=part.table, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=(
            SetColumn(table=part.table, name=column, values={"not_null": True}),
            DropConstraint(table=part.table, name=part.name),
        ),
        undo_effects=(
            SetColumn(table=part.table, name=column, values={"not_null": False}),
            AddConstraint(table=part.table, constraint=check),
        ),
        note="The validated check is the proof; without it SET NOT NULL would scan the table under its lock.",
    )


def analyze_steps(parts: Sequence[Part], phase: Phase, stage: Stage) -> Iterator[AnalyzeStep]:
    """Yield one ANALYZE a table for all columns that need it."""
    wanted = [part for part in parts if isinstance(part, AnalyzePart) and part.stage is stage]
    for table in dict.fromkeys(part.table for part in wanted):
        columns = [column for part in wanted if part.table == table for column in part.columns]
        yield AnalyzeStep(
            id=f"analyze.{table.name}",
            phase=phase,
            title=f"Collect statistics for {', '.join(columns)} of {table}",
            table=table,
            sql=f"ANALYZE {table.sql} ({', '.join(quote(column) for column in columns)})",
            locks=(TableLock(table=table, mode=Lock.SHARE_UPDATE_EXCLUSIVE),),
        )
