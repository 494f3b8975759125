"""Type changes that ALTER COLUMN TYPE does in the catalog alone: nothing is rewritten, rebuilt or scanned."""

from __future__ import annotations

from osc.catalog import Catalog, Column, Table
from osc.catalog.effects import SetColumn
from osc.catalog.model import WHOLE_ROW
from osc.names import quote
from osc.operations import casts
from osc.operations.parts import AnalyzePart, Ddl, Part, Stage
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock

_OTHER_OPCLASS = ("bit varying",)
"""Types whose indexes are built anew when a column changes to them from another type."""


def is_native(catalog: Catalog, table: Table, source: Column, new_type: str) -> bool:
    """Return whether the change is one of the catalog alone on this very table.

    Even where the column itself is not rewritten, the server rebuilds expression and partial indexes and scans checks
    and foreign keys that read it, under its lock; and it refuses where views, rules, policies or triggers do.
    """
    name = source.name
    if not casts.needs_no_rewrite(source.type, new_type) or source.type_kind != "b":
        return False
    constraints = [one for one in table.constraints if one.type in ("c", "f", "x") and _reads(one.columns, name)]
    whole_row = any(WHOLE_ROW in one.expression_references for one in table.constraints)
    incoming = any(name in one.referenced_columns for one in table.incoming)
    dependents = any(name in one.columns for one in table.dependents)
    triggers = any(name in one.update_of or name in one.condition_uses for one in table.triggers)
    filters = any(name in one.row_filter_uses for one in table.publications)
    refused = constraints or whole_row or incoming or dependents or triggers or filters
    return not refused and not _rebuilds_an_index(table, source, new_type) and not source.generated


def _reads(columns: tuple[str, ...], name: str) -> bool:
    return name in columns


def _rebuilds_an_index(table: Table, source: Column, new_type: str) -> bool:
    indexes = [index for index in table.indexes if source.name in index.uses]
    changes_class = casts.base(source.type)[0] != casts.base(new_type)[0] and casts.base(new_type)[0] in _OTHER_OPCLASS
    computed = any(index.partial or None in index.columns or index.exclusion or not index.valid for index in indexes)
    return computed or (changes_class and bool(indexes))


def parts(table: Table, source: Column, new_type: str) -> tuple[Part, ...]:
    """Return the one step of switch, and ANALYZE: every ALTER COLUMN TYPE drops the column's statistics."""
    collate = f" COLLATE {source.collation}" if source.collation else ""
    change = Ddl(
        phase=Phase.SWITCH,
        stage=Stage.SWITCH,
        label=f"type.{table.name.name}.{source.name}",
        title=f"Change the type of {table.name}.{source.name} from {source.type} to {new_type} in the catalog",
        sql=(f"ALTER TABLE {table.name.sql} ALTER COLUMN {quote(source.name)} TYPE {new_type}{collate}",),
        undo=None,
        locks=(TableLock(table=table.name, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=(SetColumn(table=table.name, name=source.name, values={"type": new_type, "default_as_written": True}),),
        note="No row is rewritten. There is no way back without one: give up and down to have the long way, which has.",
    )
    return (change, AnalyzePart(table=table.name, columns=(source.name,), stage=Stage.SWITCH))
