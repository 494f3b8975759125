"""Giving rows of the application's own column a value where they hold NULL: what forbids it, its proofs and its probes.

A probe looks at the rows as they would be once filled: a check, a unique index or a foreign key that would then say no
says so before the first write.
"""

from __future__ import annotations

from collections.abc import Iterator

from osc.catalog import Catalog, Column, Constraint, Index, Table
from osc.catalog.model import WHOLE_ROW
from osc.errors import Finding
from osc.names import quote
from osc.operations import casts, objections, proving
from osc.operations.nullability import nulls
from osc.operations.parts import Pair
from osc.operations.shown import shown_key
from osc.program.model import Probe, Proof
from osc.program.phase import Phase


def cannot_be_set_not_null(catalog: Catalog, table: Table, column: Column) -> Finding | None:
    """Return why ``column`` cannot be made NOT NULL, or need not be."""
    named = f"{table.name}.{column.name}"
    unproven = next((one for one in table.constraints if one.type == "n" and one.columns == (column.name,)), None)
    fact = catalog.types.get(column.type)
    found: tuple[str, str, str] | None = None
    if column.generated:
        found = ("C213", f"{named} is a generated column", "change its expression instead")
    elif column.identity:
        found = ("C214", f"{named} is an identity column, which is never NULL", "leave the operation out")
    elif column.not_null:
        found = ("V140", f"nothing would change: {named} is NOT NULL already", "leave the operation out")
    elif unproven is not None:
        validate = f"ALTER TABLE {table.name} VALIDATE CONSTRAINT {quote(unproven.name)}"
        found = ("C215", f"constraint {unproven.name} makes {named} NOT NULL, not validated", f"{validate}, or drop it")
    elif fact is not None and fact.rejects_null:
        found = ("C223", f"{named} is of domain {column.type}, which refuses NULL itself", "leave the operation out")
    elif column.until_switch is not None:
        found = (
            "V131",
            f"{named} is changed by an earlier operation of this plan",
            "say not_null: true there, or make it NOT NULL in a plan of its own",
        )
    return Finding(*found, path=("column",)) if found else None


def cannot_be_filled(table: Table) -> Iterator[Finding]:
    """Yield what forbids a fill of a column that is there; no column is added, so their number does not matter."""
    yield from (finding for finding in objections.pairable(table) if finding.code != "C245")


def pair(table: Table, column: Column, value: str, phase: Phase) -> Pair:
    """Return the part that fills ``column`` where it is NULL, and keeps what it overwrote until contract."""
    return Pair(
        table=table.name,
        source=None,
        target=column.name,
        final=column.name,
        retired=column.name,
        source_type=None,
        target_type=column.type,
        up=value,
        down=None,
        target_image=casts.compare_by_image(column.type),
        trigger=False,
        keeps=True,
        phase=phase,
    )


def proofs(table: Table, column: Column, value: str, *, scalar: bool) -> Iterator[Proof]:
    """Yield the proof that ``value`` is of the column's type; an expression must be immutable over the row as well."""
    clone = f"pg_temp.{quote(table.name.name)}"
    frozen = (
        f"CREATE TEMPORARY TABLE {quote(table.name.name)} (LIKE {table.name.sql})",
        f"ALTER TABLE {clone} ADD COLUMN osc_proven {column.type} GENERATED ALWAYS AS (\n{value}\n) STORED",
        *proving.frozen_moments(table.name, value),
    )
    # Whether it fits into the column only a row can tell: no row is computed in an empty table.
    fits = (f"CREATE TEMPORARY TABLE osc_proven (value {column.type})", f"INSERT INTO osc_proven VALUES ({value})")
    hint = "one immutable expression over the row; qualify what is not in pg_catalog"
    yield Proof(
        sql=(*frozen, *fits) if scalar else frozen,
        code="C231" if scalar else "C230",
        expression=value,
        typing=f"SELECT FROM {table.scanned} AS {quote(table.name.name)} WHERE ((\n{value}\n)::{column.type}) IS NULL LIMIT 0",
        path=("fill",),
        hint=f"a value of type {column.type} is expected here" if scalar else hint,
    )


def probes(table: Table, column: Column, value: str | None) -> Iterator[Probe]:
    """Yield what would say no: without a value any NULL, with one whatever the rows would break once filled."""
    if value is None:
        yield Probe(
            sql=_counted(nulls(table, column.name)),
            code="C244",
            message=f"rows of {table.name} that hold NULL in {column.name}",
            hint="give them a value first, or say fill:",
            path=("column",),
        )
        return
    yield _says_no(
        table,
        f"SELECT {shown_key(table)} FROM {_as_filled(table, column, value)}\n"
        f"WHERE {_column(table, column.name)} IS NULL",
        ("C244", f"rows for which fill gives NULL, which {column.name} is not to be"),
        "let fill give a value for each row, or mend these rows",
    )
    for one in table.constraints:
        if one.type == "c" and one.enforced and column.name in one.columns:
            yield from _check(table, column, value, one)
        if one.type == "f" and one.enforced and column.name in one.columns:
            yield from _reference(table, column, value, one)
    for index in table.indexes:
        if index.unique and column.name in index.columns and None not in index.columns and not index.partial:
            yield _unique(table, column, value, index)


def _says_no(table: Table, sql: str, said: tuple[str, str], hint: str) -> Probe:
    return Probe(sql=f"{sql}\nLIMIT 20", evaluates=True, code=said[0], message=said[1], hint=hint, path=("fill",))


def _counted(sql: str) -> str:
    """Return the query that tells first how many rows there are, then some of them."""
    every = sql.removesuffix(" LIMIT 20")
    return (
        f"WITH found (key) AS ({every})\n"
        f"SELECT pg_catalog.concat(count(*), ' in all') FROM found HAVING count(*) > 0\n"
        f"UNION ALL (SELECT key FROM found LIMIT 19)"
    )


def _column(table: Table, name: str) -> str:
    return f"{quote(table.name.name)}.{quote(name)}"


def _as_filled(table: Table, column: Column, value: str, *, whole: bool = False) -> str:
    """Return the rows as they would be once filled, under the table's own name; only those that hold NULL, or all."""
    others = [_column(table, one.name) for one in table.columns if one.name != column.name]
    name, collate = _column(table, column.name), f" COLLATE {column.collation}" if column.collation else ""
    filled = f"coalesce({name}, (\n{value}\n)::{column.type}){collate} AS {quote(column.name)}"
    where = "" if whole else f" WHERE {name} IS NULL"
    alias = quote(table.name.name)
    rows = f"SELECT {', '.join([*others, filled])}, {name} IS NULL AS osc_filled"
    return f"({rows} FROM {table.scanned} AS {alias}{where}) AS {alias}"


def _check(table: Table, column: Column, value: str, check: Constraint) -> Iterator[Probe]:
    """Whole-row references and what cannot be read here are left to the fill, which names such rows."""
    text = (check.definition or "").removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT")
    if not text.startswith("(") or WHOLE_ROW in check.expression_references:
        return
    yield _says_no(
        table,
        f"SELECT {shown_key(table)} FROM {_as_filled(table, column, value)}\nWHERE (\n{text}\n) IS FALSE",
        ("C244", f"rows that would break check {check.name} once {column.name} is filled"),
        "give a value that the check allows",
    )


def _reference(table: Table, column: Column, value: str, key: Constraint) -> Iterator[Probe]:
    """A row refers to another once none of its columns is NULL (MATCH SIMPLE)."""
    if key.references is None or len(key.columns) != len(key.referenced_columns):
        return
    set_ = " AND ".join(f"{_column(table, name)} IS NOT NULL" for name in key.columns)
    same = " AND ".join(
        f"osc_there.{quote(there)} = {_column(table, here)}"
        for here, there in zip(key.columns, key.referenced_columns, strict=True)
    )
    yield _says_no(
        table,
        f"SELECT {shown_key(table)} FROM {_as_filled(table, column, value)}\nWHERE {set_}\n"
        f"  AND NOT EXISTS (SELECT FROM {key.references.sql} AS osc_there WHERE {same})",
        ("C243", f"rows that would refer to nothing in {key.references} ({key.name}) once {column.name} is filled"),
        "give a value that is there, or insert the row it refers to first",
    )


def _unique(table: Table, column: Column, value: str, index: Index) -> Probe:
    names = [_column(table, name) for name in index.columns if name]
    keys = ", ".join(names)
    present = "" if index.nulls_not_distinct else f"\nWHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
    return _says_no(
        table,
        f"SELECT pg_catalog.concat_ws(', ', {keys}) FROM {_as_filled(table, column, value, whole=True)}{present}\n"
        f"GROUP BY {keys} HAVING count(*) > 1 AND bool_or({quote(table.name.name)}.osc_filled)",
        ("C242", f"rows that unique index {index.name} does not allow once {column.name} is filled (equal keys)"),
        "give each row a value of its own: fill: {sql: …}",
    )
