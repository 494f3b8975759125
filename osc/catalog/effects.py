"""What a step changes in a Catalog, as data: folding effects over a Catalog gives the one expected afterwards.

An object that a step of ours will make has ``oid`` and ``definition`` None until it exists: the server alone
knows how it deparses.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from osc.catalog.model import Catalog, Column, Constraint, Index, Table, Trigger
from osc.names import QName
from osc.values import Value


class _Effect(Value):
    table: QName


class AddColumn(_Effect):
    kind: Literal["add_column"] = "add_column"
    column: Column


class DropColumn(_Effect):
    kind: Literal["drop_column"] = "drop_column"
    name: str


class RenameColumn(_Effect):
    kind: Literal["rename_column"] = "rename_column"
    name: str
    to: str


class SetColumn(_Effect):
    """Fields of a column take new values: ``{"not_null": True}``."""

    kind: Literal["set_column"] = "set_column"
    name: str
    values: dict[str, Any]


class AddIndex(_Effect):
    kind: Literal["add_index"] = "add_index"
    index: Index


class DropIndex(_Effect):
    kind: Literal["drop_index"] = "drop_index"
    name: str


class RenameIndex(_Effect):
    kind: Literal["rename_index"] = "rename_index"
    name: str
    to: str


class AddConstraint(_Effect):
    kind: Literal["add_constraint"] = "add_constraint"
    constraint: Constraint


class DropConstraint(_Effect):
    kind: Literal["drop_constraint"] = "drop_constraint"
    name: str


class RenameConstraint(_Effect):
    kind: Literal["rename_constraint"] = "rename_constraint"
    name: str
    to: str


class SetConstraint(_Effect):
    kind: Literal["set_constraint"] = "set_constraint"
    name: str
    values: dict[str, Any]


class AddTrigger(_Effect):
    kind: Literal["add_trigger"] = "add_trigger"
    trigger: Trigger


class DropTrigger(_Effect):
    kind: Literal["drop_trigger"] = "drop_trigger"
    name: str


Effect = Annotated[
    AddColumn | DropColumn | RenameColumn | SetColumn | AddIndex | DropIndex | RenameIndex | AddConstraint
    | DropConstraint | RenameConstraint | SetConstraint | AddTrigger | DropTrigger,
    Field(discriminator="kind"),
]  # fmt: skip


def apply_effects(catalog: Catalog, effects: tuple[Effect, ...]) -> Catalog:
    """Return ``catalog`` as it is after ``effects``, in order; a table that is not in it stays unknown."""
    for effect in effects:
        table = catalog.table(effect.table)
        if table is not None:
            catalog = catalog.with_table(_after(table, effect))
    return catalog


def _after(table: Table, effect: Effect) -> Table:
    match effect:
        case AddColumn(column=column):
            number = table.column_numbers_used + 1
            added = column.model_copy(update={"number": number})
            return _set(table, columns=(*table.columns, added), column_numbers_used=number)
        case DropColumn(name=name):
            return _drop_column(table, name)
        case RenameColumn(name=name, to=to):
            return _rename_column(table, name, to)
        case SetColumn(name=name, values=values):
            return _set(table, columns=_changed(table.columns, name, values))
        case AddIndex(index=index):
            return _set(table, indexes=(*table.indexes, index))
        case DropIndex(name=name):
            return _set(table, indexes=_without(table.indexes, name))
        case RenameIndex(name=name, to=to):
            constraints = tuple(_renamed_index(one, name, to) for one in table.constraints)
            return _set(table, indexes=_changed(table.indexes, name, {"name": to}), constraints=constraints)
        case AddConstraint(constraint=constraint):
            return _add_constraint(table, constraint)
        case DropConstraint(name=name):
            owned = [index.name for index in table.indexes if index.constraint == name]
            indexes = tuple(index for index in table.indexes if index.name not in owned)
            return _set(table, constraints=_without(table.constraints, name), indexes=indexes)
        case RenameConstraint(name=name, to=to):
            indexes = tuple(
                index.model_copy(update={"name": to, "constraint": to}) if index.constraint == name else index
                for index in table.indexes
            )
            return _set(table, constraints=_changed(table.constraints, name, {"name": to}), indexes=indexes)
        case SetConstraint(name=name, values=values):
            return _set(table, constraints=_changed(table.constraints, name, values))
        case AddTrigger(trigger=trigger):
            return _set(table, triggers=(*table.triggers, trigger))
        case DropTrigger(name=name):
            return _set(table, triggers=_without(table.triggers, name))


def _set(table: Table, **values: Any) -> Table:
    return table.model_copy(update=values)


def _changed(items: tuple[Any, ...], name: str, values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(item.model_copy(update=values) if item.name == name else item for item in items)


def _without(items: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    return tuple(item for item in items if item.name != name)


def _renamed_index(constraint: Constraint, name: str, to: str) -> Constraint:
    return constraint.model_copy(update={"index": to, "name": to}) if constraint.index == name else constraint


def _add_constraint(table: Table, constraint: Constraint) -> Table:
    """A unique constraint takes the index it is made of: from then on the two share name and fate."""
    owned = {"constraint": constraint.name, "immediate": not constraint.deferrable}
    indexes = _changed(table.indexes, constraint.index, owned) if constraint.index else table.indexes
    return _set(table, constraints=(*table.constraints, constraint), indexes=indexes)


def _drop_column(table: Table, name: str) -> Table:
    gone = {one.name for one in table.constraints if name in one.columns}
    constraints = tuple(one for one in table.constraints if one.name not in gone)
    indexes = tuple(one for one in table.indexes if name not in one.uses and one.constraint not in gone)
    return _set(table, columns=_without(table.columns, name), constraints=constraints, indexes=indexes)


def _rename_column(table: Table, name: str, to: str) -> Table:
    def new(column: str | None) -> str | None:
        return to if column == name else column

    def every(columns: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(new(column) for column in columns)

    # The server deparses definitions with the new name; what is not known for sure becomes None ("any").
    indexes = tuple(
        one.model_copy(
            update={"columns": every(one.columns), "include": every(one.include), "uses": every(one.uses),
                    "definition": None if name in one.uses else one.definition}
        )
        for one in table.indexes
    )  # fmt: skip
    constraints = tuple(
        one.model_copy(
            update={
                "columns": every(one.columns),
                "definition": None if name in one.columns else one.definition,
            }
        )
        for one in table.constraints
    )
    columns = _changed(table.columns, name, {"name": to})
    return _set(table, columns=columns, indexes=indexes, constraints=constraints)
