"""Read a Catalog from a database: one snapshot, read only, one query per kind of object for all tables.

Apart from the values (osc.catalog), which know no connection; the queries stand in osc/sql/catalog.sql.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from osc.catalog.model import (
    WHOLE_ROW,
    Catalog,
    Column,
    Constraint,
    Dependent,
    Index,
    LeafObject,
    Publication,
    Server,
    Table,
    Trigger,
)
from osc.names import QName
from osc.sql.named import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["read_catalog", "read_server"]

Row = dict[str, Any]
Parts = dict[str, list[Row]]
Connection = psycopg.AsyncConnection[Any]

_SQL = load("catalog")
_READ_ATTEMPTS_MAX = 5
_PARTS = ("columns", "indexes", "constraints", "triggers", "dependents", "statistics", "publications", "leaf_objects")
_SYSTEM_COLUMNS = {-1: "ctid", -2: "xmin", -3: "cmin", -4: "xmax", -5: "cmax", -6: "tableoid"}

# A column in a stored node tree; 1 is the table itself (in triggers OLD) and 2 is NEW. Constants are written
# as bytes and names with their spaces escaped (outfuncs.c), so that no text of a user can look like this.
_COLUMN_IN_TREE = re.compile(r"\{VAR :varno [12] :varattno (-?\d+) ")

_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s".]+)'
_BEFORE_USING = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX {_IDENTIFIER} ON (?:ONLY )?{_IDENTIFIER}(?:\.{_IDENTIFIER})? (?=USING )"
)


class _Moved(Exception):
    """An object of our snapshot was dropped before the server deparsed it."""


async def read_catalog(conn: Connection, tables: Sequence[QName]) -> Catalog:
    """Return what the database says of ``tables``, all of one moment.

    ``conn`` must be in autocommit mode and outside a transaction. It takes no lock on the tables but ACCESS
    SHARE for the moment in which the server deparses an expression or an index: while somebody holds or
    awaits ACCESS EXCLUSIVE it waits, and raises psycopg.errors.LockNotAvailable after the session's lock_timeout.

    The server deparses from its newest catalogs, not from our snapshot: when DDL comes between, the reading
    is repeated, a few times at most; then psycopg.errors.InternalError is raised.
    """
    for _ in range(_READ_ATTEMPTS_MAX - 1):
        try:
            return await _read_once(conn, tables)
        except (_Moved, psycopg.errors.InternalError_):  # "cache lookup failed", "could not open relation"
            continue
    try:
        return await _read_once(conn, tables)
    except _Moved as moved:
        raise psycopg.errors.InternalError(f"{moved} is being changed all the time") from moved


async def read_server(conn: Connection) -> Server:
    """Return what server, database and role ``conn`` is connected to."""
    [row] = await _fetch(conn, "server")
    identifier = await _fetch(conn, "system_identifier") if row.pop("may_read_control") else []
    may_replicate = row["superuser"]
    if not may_replicate and row["version_num"] >= 150_000:
        [found] = await _fetch(conn, "may_set_replication_role")
        may_replicate = found["may"]
    return Server(
        **row,
        system_identifier=identifier[0]["system_identifier"] if identifier else "",
        may_set_replication_role=may_replicate,
    )


async def _read_once(conn: Connection, asked: Sequence[QName]) -> Catalog:
    async with conn.transaction():
        # Two statements in one message, which the server cannot prepare.
        await conn.execute(_SQL["snapshot"].encode(), prepare=False)
        server = await read_server(conn)
        tables = await _read_tables(conn, asked, server)
        schemas = sorted({name.schema for name in asked})
        names = await _fetch(conn, "relation_names", schemas=schemas)
        found = {table.name for table in tables}
        missing = tuple(name for name in dict.fromkeys(asked) if name not in found)
        existing = await _fetch(conn, "table_names") if missing else []
    return Catalog(
        server=server,
        tables=tables,
        relation_names={row["schema"]: tuple(row["names"]) for row in names},
        missing=missing,
        nearest=_nearest(missing, [QName(row["schema"], row["name"]) for row in existing]),
    )


async def _read_tables(conn: Connection, asked: Sequence[QName], server: Server) -> tuple[Table, ...]:
    names = list(dict.fromkeys(asked))
    rows = await _fetch(conn, "tables", schemas=[name.schema for name in names], names=[name.name for name in names])
    parts = await _read_parts(conn, [row["oid"] for row in rows], server) if rows else {}
    tables = {table.name: table for table in (_table(row, parts[row["oid"]]) for row in rows)}
    return tuple(tables[name] for name in names if name in tables)


async def _read_parts(conn: Connection, oids: list[int], server: Server) -> dict[int, Parts]:
    """Return the rows of every kind of part, by table and kind."""
    parts: dict[int, Parts] = {oid: defaultdict(list) for oid in oids}
    kinds = (*_PARTS, "publications_of_schemas") if server.major >= 15 else _PARTS
    for kind in kinds:
        for row in await _fetch(conn, kind, oids=oids):
            parts[row.pop("table_oid")][kind].append(row)
    return parts


async def _fetch(conn: Connection, name: str, **parameters: Any) -> list[Row]:
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[name].encode(), parameters or None)
        return await cursor.fetchall()


def _table(row: Row, parts: Parts) -> Table:
    name = QName(row.pop("schema"), row.pop("name"))
    children, parents = row.pop("children"), row.pop("parents")
    numbers = {column["number"]: column["name"] for column in parts["columns"]}
    dependents = [
        *(Dependent(**dependent) for dependent in parts["dependents"]),
        *_generated(name, parts["columns"], numbers),
        *_statistics(parts["statistics"], numbers),
    ]
    return Table(
        **row,
        name=name,
        children=tuple(QName(*child) for child in children),
        parents=tuple(QName(*parent) for parent in parents),
        columns=tuple(_column(column) for column in parts["columns"]),
        indexes=tuple(_index(index, numbers) for index in parts["indexes"]),
        constraints=tuple(_constraint(one, numbers) for one in parts["constraints"] if not one["incoming"]),
        incoming=tuple(_constraint(one, {}) for one in parts["constraints"] if one["incoming"]),
        leaf_objects=tuple(LeafObject(**{**one, "leaf": QName(*one["leaf"])}) for one in parts["leaf_objects"]),
        triggers=tuple(_trigger(trigger, numbers) for trigger in parts["triggers"]),
        dependents=tuple(sorted(dependents, key=lambda one: (one.kind, one.name))),
        publications=_publications(parts["publications"] + parts["publications_of_schemas"], numbers),
    )


def _column(row: Row) -> Column:
    *sequence, sequence_type = row["owned_sequence"] or (None,)
    return Column(
        **_without(row, "generation_tree", "owned_sequence"),
        owned_sequence=_name(sequence),
        owned_sequence_type=sequence_type,
    )


def _index(row: Row, numbers: Mapping[int, str]) -> Index:
    references = _references(row["tree"], numbers)
    definition = _definition(row)
    everything = numbers.values() if WHOLE_ROW in references else ()
    return Index(
        **_without(row, "tree", "definition"),
        definition=definition,
        after_on=after_on(definition),
        uses=_in_order([*row["columns"], *row["include"], *references, *everything], numbers),
        expression_references=references,
    )


def _constraint(row: Row, numbers: Mapping[int, str]) -> Constraint:
    return Constraint(
        **_without(row, "incoming", "tree", "references", "table", "definition"),
        definition=_definition(row),
        references=_name(row["references"]),
        table=_name(row["table"]),
        expression_references=_references(row["tree"], numbers),
    )


def _trigger(row: Row, numbers: Mapping[int, str]) -> Trigger:
    return Trigger(
        **_without(row, "source", "tree", "function", "definition"),
        definition=_definition(row),
        function=QName(*row["function"]),
        condition_uses=_in_order(_references(row["tree"], numbers), numbers),
        body_mentions=tuple(name for name in numbers.values() if _mentions(row["source"], name)),
    )


def _generated(table: QName, columns: Iterable[Row], numbers: Mapping[int, str]) -> Iterable[Dependent]:
    for column in columns:
        if column["generated"]:
            uses = _in_order(_references(column["generation_tree"], numbers), numbers)
            yield Dependent(kind="generated column", name=f"{table}.{column['name']}", columns=uses)


def _statistics(rows: Iterable[Row], numbers: Mapping[int, str]) -> Iterable[Dependent]:
    for row in rows:
        plain = {numbers[number] for number in row["numbers"]}
        uses = _in_order(plain | set(_references(row["tree"], numbers)), numbers)
        yield Dependent(kind="statistics", name=row["name"], columns=uses)


def _publications(rows: Iterable[Row], numbers: Mapping[int, str]) -> tuple[Publication, ...]:
    found: dict[str, Publication] = {}
    for row in rows:
        listed = None if row["numbers"] is None else tuple(numbers[number] for number in row["numbers"])
        filtered = _in_order(_references(row["tree"], numbers), numbers)
        # A table that is published by name as well as with its schema comes first by name.
        found.setdefault(
            row["name"],
            Publication(name=row["name"], columns=listed, row_filter_uses=filtered, updates=row["updates"]),
        )
    return tuple(found[name] for name in sorted(found))


def _references(tree: str | None, numbers: Mapping[int, str]) -> dict[str, int]:
    """Return how often each column stands in a stored expression, by name."""
    names = {**numbers, **_SYSTEM_COLUMNS, 0: WHOLE_ROW}
    return dict(Counter(names[int(number)] for number in _COLUMN_IN_TREE.findall(tree or "")))


def _in_order(used: Iterable[str], numbers: Mapping[int, str]) -> tuple[str, ...]:
    """Return the columns among ``used`` in the table's order."""
    wanted = set(used)
    return tuple(name for name in numbers.values() if name in wanted)


def after_on(definition: str) -> str:
    """Return an index definition from its ``USING`` on, whatever the names of index and table hold."""
    found = _BEFORE_USING.match(definition)
    if found is None:
        raise ValueError(f"not an index definition: {definition}")
    return definition[found.end() :]


def _mentions(source: str, column: str) -> bool:
    quoted = re.escape(column.replace('"', '""'))
    return re.search(rf"(?<![\w$]){quoted}(?![\w$])", source, re.IGNORECASE) is not None


def _without(row: Row, *fields: str) -> Row:
    return {field: value for field, value in row.items() if field not in fields}


def _name(pair: list[str] | None) -> QName | None:
    return QName(*pair) if pair else None


def _definition(row: Row) -> str:
    definition: str | None = row["definition"]
    if definition is None:
        raise _Moved(row["name"])
    return definition


def _nearest(missing: Iterable[QName], existing: Sequence[QName]) -> dict[str, str]:
    near = {str(name): _nearest_to(name, existing) for name in missing}
    return {name: str(found) for name, found in near.items() if found}


def _nearest_to(name: QName, existing: Sequence[QName]) -> QName | None:
    """Return the table most likely meant: the name in other letters, in another schema, or a similar one."""
    same_letters = [one for one in existing if one.name.casefold() == name.name.casefold()]
    if same_letters:
        return min(same_letters, key=lambda one: (one.schema != name.schema, one.name != name.name, one))
    at_home = {one.name: one for one in existing if one.schema == name.schema}
    anywhere = {one.name: one for one in reversed(existing)}
    for candidates in (at_home, anywhere):
        close = difflib.get_close_matches(name.name, candidates, n=1)
        if close:
            return candidates[close[0]]
    return None
