"""Taking differences into account: the Catalog a plan would have been compiled for, had the tables been so from the first.

Apart from comparing, because here nothing is judged: whether the result makes sense, compiling and comparing again tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from osc.catalog.model import Catalog, Table

_COLLECTIONS: dict[str, Callable[[Any], Any]] = {
    "columns": lambda one: one.name,
    "indexes": lambda one: one.name,
    "constraints": lambda one: one.name,
    "incoming": lambda one: (one.table, one.name),
    "triggers": lambda one: one.name,
    "dependents": lambda one: (one.kind, one.name),
    "publications": lambda one: one.name,
}
"""The parts of a table, each with what tells one from another."""


def accepted(original: Catalog, expected: Catalog, actual: Catalog) -> Catalog:
    """Return ``original`` with what others have changed since.

    ``expected`` is ``original`` with the effects of our own steps, ``actual`` is what there is. What our steps made is
    left out, what they changed stays as it was before them; all else is taken as it is now.
    """
    tables = tuple(_table(table, expected.table(table.name), actual.table(table.name)) for table in original.tables)
    made = {
        one.name
        for table in expected.tables
        for one in table.indexes
        if (before := original.table(table.name)) is not None and before.index(one.name) is None
    }
    names = {
        schema: tuple(name for name in names if name not in made) for schema, names in actual.relation_names.items()
    }
    return original.model_copy(update={"server": actual.server, "tables": tables, "relation_names": names})


def _table(original: Table, expected: Table | None, actual: Table | None) -> Table:
    if expected is None or actual is None:
        return original
    changed: dict[str, Any] = {}
    for name in type(original).model_fields:
        before, ours, now = (getattr(table, name) for table in (original, expected, actual))
        if name in _COLLECTIONS:
            changed[name] = tuple(_parts(before, ours, now, _COLLECTIONS[name]))
        elif before == ours:
            changed[name] = now
    return original.model_copy(update=changed)


def _parts(original: Any, expected: Any, actual: Any, key: Callable[[Any], Any]) -> Iterator[Any]:
    before, ours, now = ({key(one): one for one in parts} for parts in (original, expected, actual))
    for name, part in before.items():
        if ours.get(name) != part:
            yield part  # a step of ours has changed or removed it
        elif name in now:
            yield now[name]
    yield from (part for name, part in now.items() if name not in before and name not in ours)
