"""Parts: what operations answer with. Plain data, sorted by phase and stage; the compiler alone makes steps of them.

Names inside SQL of a part are the names valid at the moment it runs (before switch a column that keeps its name
has its new version under a helper name).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from osc.catalog.effects import (
    AddConstraint,
    AddIndex,
    DropIndex,
    Effect,
    RenameColumn,
    SetColumn,
    apply_effects,
)
from osc.catalog.model import Catalog, Constraint, Index
from osc.names import QName
from osc.program.duration import Duration
from osc.program.phase import Phase
from osc.sql.locks import Assertion, TableLock
from osc.values import Value


class Stage(IntEnum):
    """Where in its phase a part runs. In backfill: before or after the fill; in contract: retire, then drop."""

    BEFORE_FILL = 10
    AFTER_FILL = 30
    """Index builds, constraints NOT VALID, VALIDATE, SET NOT NULL, in the order the operation gave them."""
    SWITCH = 60
    RETIRE = 70
    DROP = 80


class _Part(Value):
    pass


class Ddl(_Part):
    """Transactional statements in one phase; see DdlStep for the meaning of the fields."""

    kind: Literal["ddl"] = "ddl"
    phase: Phase
    stage: Stage = Stage.BEFORE_FILL
    label: str
    """For the step's id: ``add_column.users.verified_at``."""
    title: str
    sql: tuple[str, ...]
    undo: tuple[str, ...] | None = ()
    locks: tuple[TableLock, ...] = ()
    undo_locks: tuple[TableLock, ...] | None = None
    assertions: tuple[Assertion, ...] = ()
    undo_assertions: tuple[Assertion, ...] = ()
    effects: tuple[Effect, ...] = ()
    undo_effects: tuple[Effect, ...] = ()
    duration: Duration = Duration.INSTANT
    note: str = ""


class Pair(_Part):
    """Two columns that say the same thing for a time: S (``source``) and N (``target``), kept in step by a trigger.

    ``source`` is ``None`` for a column that only has an ``up`` (add_column … up): nothing is ever carried back.
    ``up`` and ``down`` are SQL expressions over the row, by the column names of the plan; ``down`` must see N under
    the name ``final`` (its name in the plan) although before switch it may stand under the helper name ``target``.
    After switch, if ``same_name``, the old column is called ``retired`` and N is called ``final``.
    """

    kind: Literal["pair"] = "pair"
    table: QName
    source: str | None
    target: str
    final: str
    retired: str
    source_type: str | None
    target_type: str
    up: str
    down: str | None
    same_name: bool = False
    source_default: str | None = None
    """S's default expression as the server deparses it, so that an insert that leaves S alone can be told."""
    source_not_null: bool = False
    source_image: bool = False
    """Compare S by its image, not by ``=``: the type has no equality, or one that is weaker than sameness."""
    target_image: bool = False
    up_may_fail: bool = True
    """Whether evaluating ``up`` can raise for some row; decides whether the trigger pays for an exception block."""
    down_may_fail: bool = True
    up_limit: str = ""
    """A condition on ``{value}`` within which ``up`` cannot raise, where that is known; see osc.sql.sync_body."""
    down_limit: str = ""
    trigger: bool = True
    """False where new rows get their value by a default, so that only the rows that are there need a fill."""
    up_never_null: bool = False
    """``up`` is evaluated once a row and never NULL (a volatile default: nextval must not be drawn twice)."""
    keeps: bool = False
    """The column is the application's own and stays so: where it is NULL it gets ``up``, and what was overwritten is
    kept until contract for the way back. No row may hold NULL afterwards."""
    phase: Phase = Phase.BACKFILL
    """When it is filled."""


class Leaving(_Part):
    """A column that leaves without another in its place; contract puts it out of reach as ``retired``.

    ``value`` is what an INSERT that does not name it gives it: an expression over the row, evaluated once, by the names
    that hold before the plan. ``null_is_unset`` tells that NULL cannot be meant (NOT NULL without a default); otherwise
    only a session that says ``osc.writer = 'new'`` is known not to know the column.
    """

    kind: Literal["leaving"] = "leaving"
    table: QName
    column: str
    retired: str
    type: str
    value: str | None = None
    null_is_unset: bool = False


class IndexPart(_Part):
    """An index built concurrently in backfill, after the fill where it reads a filled column."""

    kind: Literal["index"] = "index"
    table: QName
    name: str
    unique: bool = False
    on: str
    columns: tuple[str | None, ...] = ()
    uses: tuple[str, ...] = ()
    partial: bool = False
    comment: str | None = None
    stage: Stage = Stage.AFTER_FILL
    phase: Phase = Phase.BACKFILL
    title: str = ""
    narrowing: str = ""
    """Why it may refuse writes of the application from the moment it stands; empty if it cannot."""
    path: tuple[str | int, ...] = ()


class ConstraintPart(_Part):
    """A constraint added NOT VALID and validated, after the fill.

    ``add`` is the whole ALTER TABLE … ADD CONSTRAINT … NOT VALID. ``violations`` selects keys of rows that break it.
    """

    kind: Literal["constraint"] = "constraint"
    table: QName
    name: str
    type: Literal["c", "f", "n"]
    columns: tuple[str, ...]
    add: str
    references: QName | None = None
    referenced_columns: tuple[str, ...] = ()
    deferrable: bool = False
    deferred: bool = False
    stage: Stage = Stage.AFTER_FILL
    title: str = ""
    comment: str | None = None
    validate_it: bool = True
    """False where the constraint it takes after was never validated itself."""
    violations: str | None = None
    narrowing: str = ""
    path: tuple[str | int, ...] = ()
    phase: Phase = Phase.BACKFILL
    set_not_null: str | None = None
    """On servers before 18: the column that becomes NOT NULL by this proven check, which is dropped afterwards."""


class SwitchPart(_Part):
    """Statements inside the one switch transaction, and their way back. Runs after the trigger function's swap."""

    kind: Literal["switch"] = "switch"
    table: QName
    sql: tuple[str, ...]
    undo: tuple[str, ...] | None = ()
    assertions: tuple[Assertion, ...] = ()
    undo_assertions: tuple[Assertion, ...] = ()
    effects: tuple[Effect, ...] = ()
    undo_effects: tuple[Effect, ...] = ()
    also_locks: tuple[TableLock, ...] = ()


class DropIndexPart(_Part):
    """DROP INDEX CONCURRENTLY in contract's drop."""

    kind: Literal["drop_index"] = "drop_index"
    table: QName
    name: str
    title: str = ""


class AnalyzePart(_Part):
    """ANALYZE of columns, after the fill."""

    kind: Literal["analyze"] = "analyze"
    table: QName
    columns: tuple[str, ...]
    stage: Stage = Stage.AFTER_FILL


Part = Annotated[
    Ddl | Pair | Leaving | IndexPart | ConstraintPart | SwitchPart | DropIndexPart | AnalyzePart,
    Field(discriminator="kind"),
]


def final_shape(catalog: Catalog, parts: tuple[Part, ...]) -> Catalog:
    """Return ``catalog`` as it is once every part is done, contract included."""
    for part in parts:
        match part:
            case SwitchPart():
                catalog = _remember_names(apply_effects(catalog, part.effects), part.effects)
            case Ddl():
                catalog = apply_effects(catalog, part.effects)
            case IndexPart():
                catalog = apply_effects(catalog, effects_of(_by_final_names(part, catalog)))
            case _:
                catalog = apply_effects(catalog, effects_of(part))
    return catalog


def _by_final_names(part: IndexPart, catalog: Catalog) -> IndexPart:
    table = catalog.table(part.table)
    now = table.columns if table is not None else ()
    names = {one.until_switch: one.name for one in now if one.until_switch is not None}
    columns = tuple(names.get(column, column) if column else None for column in part.columns)
    return part.model_copy(update={"columns": columns, "uses": tuple(names.get(one, one) for one in part.uses)})


def _remember_names(catalog: Catalog, effects: tuple[Effect, ...]) -> Catalog:
    """A column that gets its name by the switch has another until then, which a later operation must build on."""
    renamed = [effect for effect in effects if isinstance(effect, RenameColumn)]
    return apply_effects(
        catalog,
        tuple(SetColumn(table=one.table, name=one.to, values={"until_switch": one.name}) for one in renamed),
    )


def effects_of(part: Part) -> tuple[Effect, ...]:
    """Return the effects of a part that implies them (indexes, constraints)."""
    match part:
        case IndexPart():
            uses = part.uses or tuple(column for column in part.columns if column)
            index = Index(name=part.name, columns=part.columns, uses=uses, unique=part.unique, partial=part.partial)
            return (AddIndex(table=part.table, index=index),)
        case ConstraintPart(set_not_null=str(column)):
            return (SetColumn(table=part.table, name=column, values={"not_null": True}),)
        case ConstraintPart():
            proven: tuple[Effect, ...] = ()
            if part.type == "n" and part.validate_it:
                proven = (SetColumn(table=part.table, name=part.columns[0], values={"not_null": True}),)
            constraint = constraint_of(part).model_copy(update={"validated": part.validate_it})
            return (AddConstraint(table=part.table, constraint=constraint), *proven)
        case DropIndexPart():
            return (DropIndex(table=part.table, name=part.name),)
        case _:
            return ()


def constraint_of(part: ConstraintPart) -> Constraint:
    """Return the constraint as a Catalog will show it before it is validated."""
    return Constraint(
        name=part.name,
        type=part.type,
        columns=part.columns,
        references=part.references,
        validated=False,
        referenced_columns=part.referenced_columns,
        deferrable=part.deferrable,
        deferred=part.deferred,
    )
