"""What must hold of a table before a column can be added to it or take another's place: each objection by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from osc.catalog import Catalog, Table
from osc.catalog.replica_identity import refuses_updates
from osc.errors import Finding
from osc.names import quote
from osc.operations.obstacles import obstacles
from osc.operations.replacement import Replacement

COLUMNS_MAX = 1600
"""MaxHeapAttributeNumber: dropped columns count, too."""


def missing_column(table: Table, name: str) -> Finding:
    """Return the finding for a column that is not there, with the nearest one that is."""
    near = difflib.get_close_matches(name, [column.name for column in table.columns], n=1)
    hint = f"did you mean {near[0]}?" if near else f"its columns: {', '.join(column.name for column in table.columns)}"
    return Finding("C211", f"column {table.name}.{name} does not exist", hint, path=("column",))


def unusable_type(catalog: Catalog, text: str) -> Finding | None:
    """Return the finding for a type that no column of osc's can have (hazards.md C14, B27), or ``None``."""
    fact = catalog.types.get(text)
    if fact is None:
        return None  # nobody asked the server
    if not fact.name:
        said = fact.error or f"type {text} does not exist"
        hint = "write it as PostgreSQL does, with its schema if it is not built in: numeric(10,2), app.mood, text[]"
        return Finding("C220", f"{text}: {said}", hint, path=("type",))
    if fact.kind == "p":
        return Finding("C220", f"{text} is a pseudo-type: no column can have it", "name a real type", path=("type",))
    if fact.constrained:
        return Finding(
            "C220",
            f"{text} is a domain with constraints; adding a column of it rewrites the table",
            "use its base type",
            path=("type",),
        )
    return None


def name_taken(table: Table, name: str, field: str) -> Finding | None:
    """Return the finding for a new column's name that is in use, or that only capitals tell from one (B25)."""
    if table.column(name) is not None:
        return Finding("C210", f"column {table.name}.{name} exists already", "choose another name", path=(field,))
    if name in ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"):
        return Finding("C210", f"{name} is the name of a system column", "choose another name", path=(field,))
    near = next((one.name for one in table.columns if one.name.casefold() == name.casefold()), None)
    if near is not None:
        return Finding(
            "C210",
            f"column {near} of {table.name} differs from {name} by capitals only",
            "choose a name that people can tell apart",
            path=(field,),
        )
    return None


def replaceable(catalog: Catalog, new: Replacement) -> list[Finding]:
    """Return what forbids that a column takes the place of another."""
    found = [*obstacles(catalog, new.table, new.source.name), *pairable(new.table)]
    taken = name_taken(new.table, new.to, "to") if new.to is not None and new.to != new.source.name else None
    if new.to == new.source.name:
        taken = Finding("V140", f"{new.to} is the name it has", "leave to: out to keep the name", path=("to",))
    unique = [twin.old for twin in new.index_twins if twin.old.unique]
    if unique and not new.injective:
        found.append(
            Finding(
                "C221",
                f"unique index {unique[0].name} reads {new.source.name}, and two values may become one",
                "drop it first, or use casts up and down that keep values apart",
                path=("up",),
            )
        )
    return [*found, taken] if taken is not None else found


def unkeyed(table: Table) -> Finding:
    """Return what is said of a table whose rows cannot be told apart."""
    return Finding(
        "C120",
        f"table {table.name} has no usable unique key: unique, valid, immediate, not partial, not null",
        "add a primary key first; or, where nothing is kept of its rows, say backfill: {walk: blocks}",
        path=("table",),
    )


def pairable(table: Table) -> Iterator[Finding]:
    """Yield what forbids a sync trigger and a keyset fill on ``table``."""
    if table.paging_key() is None:
        yield unkeyed(table)
    if table.column_numbers_used + 2 > COLUMNS_MAX:
        yield Finding(
            "C245",
            f"table {table.name} has used {table.column_numbers_used} of {COLUMNS_MAX} columns",
            "dropped columns count; the table must be made anew",
            path=("table",),
        )
    for publication in table.publications:
        if refuses_updates(table, publication):
            yield Finding(
                "C260",
                f"publication {publication.name} publishes updates of {table.name}, which has no replica identity for it: "
                "every UPDATE fails",
                "add a primary key or set REPLICA IDENTITY; a column list must hold all of it, a row filter nothing else",
                path=("table",),
            )
    for dependent in table.dependents:
        if dependent.own_rule:
            yield Finding(
                "C206",
                f"rule {dependent.name} rewrites what is written to {table.name}, osc's own batches included",
                "drop it first; a trigger can do the same",
                path=("table",),
            )
    for trigger in table.triggers:
        if trigger.row and trigger.before and trigger.name.encode() >= b"~osc_" and not trigger.ours:
            yield Finding(
                "C252",
                f"trigger {trigger.name} on {table.name} sorts behind osc's and could change what it saw",
                f"rename it: ALTER TRIGGER {quote(trigger.name)} … RENAME TO a name below '~'",
                path=("table",),
            )
