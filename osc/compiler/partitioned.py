"""Partitioned tables: what a plan cannot do on them, and what of their leaves is remembered.

The statements of a step on the table itself reach every partition; fill and verification walk the leaves. What needs more
than that (an index is built concurrently on a leaf only) is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.catalog.effects import DropColumn, RenameColumn, SetColumn
from osc.errors import Finding
from osc.operations.parts import ConstraintPart, Ddl, IndexPart, Leaving, Pair, Part, SwitchPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.catalog import Catalog, Table
    from osc.program import Step
    from osc.sql.locks import TableLock

BY_HAND = (
    "CREATE INDEX … ON ONLY the table, CREATE INDEX CONCURRENTLY on each partition, ALTER INDEX … ATTACH PARTITION"
)


def findings(catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Yield what in ``parts`` cannot be done on the partitioned tables of ``catalog``."""
    for table in catalog.tables:
        if table.is_partitioned:
            own = [part for part in parts if getattr(part, "table", None) == table.name or isinstance(part, Ddl)]
            yield from _unsupported(catalog, table, own)
            yield from _in_the_way(table, _changed(table, own))


def _unsupported(catalog: Catalog, table: Table, parts: Sequence[Part]) -> Iterator[Finding]:
    for part in parts:
        match part:
            case IndexPart():
                yield _finding(
                    f"index {part.name} would have to be built on partitioned table {table.name}, which cannot be done concurrently",
                    f"drop the old one first if it goes along with a column, and build it by hand: {BY_HAND}",
                )
            case ConstraintPart(type="f") if catalog.server.major < 18:
                yield _finding(
                    f"foreign key {part.name} cannot be added to partitioned table {table.name} without a scan under its lock",
                    "it takes PostgreSQL 18; or drop the foreign key first and add it to each partition by hand",
                )
            case Pair(keeps=True):
                yield _finding(
                    f"what a fill overwrites in {part.final} is not kept for partitioned table {table.name}",
                    "fill the NULLs by hand, or by a column of its own (add_column with up), and leave fill out",
                )
            case Leaving(value=str(), null_is_unset=False):
                yield _finding(
                    f"a row of {table.name} that moves to another partition is inserted there: down of {part.column} would "
                    "overwrite a NULL that is meant",
                    "leave down out, or make the column NOT NULL first",
                )


def _changed(table: Table, parts: Sequence[Part]) -> set[str]:
    """Return the columns that are not what they were afterwards."""
    changed: set[str] = set()
    for part in parts:
        if isinstance(part, Pair) and part.source is not None:
            changed.add(part.source)
        elif isinstance(part, Leaving):
            changed.add(part.column)
        elif isinstance(part, Ddl | SwitchPart):
            changed |= {
                effect.name
                for effect in part.effects
                if effect.table == table.name and isinstance(effect, DropColumn | RenameColumn | SetColumn)
            }
    return changed


def _in_the_way(table: Table, changed: set[str]) -> Iterator[Finding]:
    if key := sorted(changed & set(table.partition_key)):
        yield _finding(
            f"{', '.join(key)} says to which partition a row of {table.name} goes",
            "a partition key cannot be changed in place; the rows have to go to another table",
        )
    for one in table.leaf_objects:
        if not one.columns or not changed.isdisjoint(one.columns):
            yield _finding(
                f"partition {one.leaf} of {table.name} {one.what}", "drop it there, or detach the partition first"
            )


def _finding(message: str, hint: str) -> Finding:
    return Finding("C131", message, hint, path=("operations",))


def remembered(catalog: Catalog, columns: dict[str, tuple[str, ...]]) -> Catalog:
    """Return ``catalog`` with those things of leaves that the plan's columns have to do with: there may be thousands."""
    for table in catalog.tables:
        if table.leaf_objects:
            plan = set(columns.get(str(table.name), ()))
            kept = tuple(one for one in table.leaf_objects if not one.columns or not plan.isdisjoint(one.columns))
            catalog = catalog.with_table(table.model_copy(update={"leaf_objects": kept}))
    return catalog


def reaching_leaves(step: Step, catalog: Catalog) -> Step:
    """Return ``step`` with locks that say where they reach the leaves, as the statements behind them do."""
    partitioned = {table.name for table in catalog.tables if table.is_partitioned}
    if not partitioned:
        return step

    def reach(locks: tuple[TableLock, ...]) -> tuple[TableLock, ...]:
        return tuple(lock.model_copy(update={"leaves": lock.table in partitioned}) for lock in locks)

    update: dict[str, object] = {"locks": reach(step.locks)}
    undo_locks = getattr(step, "undo_locks", None)
    if undo_locks is not None:
        update["undo_locks"] = reach(undo_locks)
    return step.model_copy(update=update)
