"""In which order tables are locked, and which columns a plan touches by name or through its expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.catalog.effects import AddColumn
from osc.operations.parts import ConstraintPart, Ddl, IndexPart, Leaving, Pair, Part
from osc.operations.tokens import identifiers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osc.catalog import Catalog
    from osc.names import QName
    from osc.plan.model import Plan


def lock_order(tables: Sequence[QName], catalog: Catalog) -> tuple[QName, ...]:
    """Return ``tables`` with referenced ones first, otherwise by name: one fixed order for every change (F39)."""
    ordered: list[QName] = []
    waiting = sorted(set(tables))
    while waiting:
        free = [name for name in waiting if not _references(name, catalog) & (set(waiting) - {name})]
        # A ring of references has no first; the name decides then.
        chosen = free[0] if free else waiting[0]
        ordered.append(chosen)
        waiting.remove(chosen)
    return tuple(ordered)


def _references(name: QName, catalog: Catalog) -> set[QName]:
    table = catalog.table(name)
    return {one.references for one in table.constraints if one.references is not None} if table else set()


def columns_of_plan(plan: Plan, parts: Sequence[Part], catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Return, per table, every column that the plan names or whose name stands in one of its expressions."""
    words: dict[QName, set[str]] = {}
    for operation in plan.operations:
        for name, columns in operation.columns_named().items():
            words.setdefault(name, set()).update(columns)
    for part in parts:
        match part:
            case Pair():
                found = {part.target, part.final, part.retired, *([part.source] if part.source else [])}
                found |= identifiers(part.up) | (identifiers(part.down) if part.down else frozenset())
            case Leaving():
                found = {part.column, part.retired} | identifiers(part.value or "")
            case IndexPart():
                found = {*part.uses, *(column for column in part.columns if column)}
            case ConstraintPart():
                found = set(part.columns)
            case _:
                continue
        words.setdefault(part.table, set()).update(found)
    return {str(name): tuple(sorted(_known(found, name, catalog, parts))) for name, found in sorted(words.items())}


def _known(found: set[str], name: QName, catalog: Catalog, parts: Sequence[Part]) -> set[str]:
    """Return those of ``found`` that are columns, now or once a step of the plan has made them."""
    table = catalog.table(name)
    known = {column.name for column in table.columns} if table else set()
    for part in parts:
        match part:
            case Pair(table=where) if where == name:
                known |= {part.target, part.final, part.retired}
            case Leaving(table=where) if where == name:
                known.add(part.retired)
            case Ddl():
                known |= {one.column.name for one in part.effects if isinstance(one, AddColumn) and one.table == name}
    return found & known
