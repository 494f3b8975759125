"""An operation that names a column by what it was called before an earlier operation of the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from osc.errors import Finding
from osc.linter.rule import column_changed, new_name, operations_at
from osc.names import QName

if TYPE_CHECKING:
    from osc.operations import Operation
    from osc.plan.model import Plan

ID = "renamed-away"
WHY = "Contract drops the old column, and with it whatever was built on it under its old name."


def check(plan: Plan) -> Iterator[Finding]:
    """Yield each later use of a column's old name."""
    gone: dict[tuple[QName, str], str] = {}
    for path, operation in operations_at(plan):
        for field, column in _uses(operation):
            table = getattr(operation, "table", None)
            if isinstance(table, QName) and (table, column) in gone:
                now = gone[table, column]
                message = f"an earlier operation turns column {table}.{column} into {now}"
                yield Finding("V134", message, f"write {now}", path=(*path, *field))
        changed, to = column_changed(operation), new_name(operation)
        if changed is not None and to is not None:
            gone[changed] = to


def _uses(operation: Operation) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the columns that ``operation`` names in ``columns``, ``include`` and the like, with their paths.

    A second operation on the column itself is the business of same-column.
    """
    for field in type(operation).model_fields:
        value = getattr(operation, field)
        for number, entry in enumerate(value if isinstance(value, tuple | list) else ()):
            name = entry if isinstance(entry, str) else _column_of(entry)
            if isinstance(name, str):
                yield (field, number), name


def _column_of(entry: object) -> object:
    return entry.get("column") if isinstance(entry, Mapping) else getattr(entry, "column", None)
