"""What a column takes along when it is dropped, what forbids that, and the value that rows get while it still lives.

Nothing is ever dropped by CASCADE. What PostgreSQL would drop silently although it serves other columns as well (an index
of several columns, a check over two) must be named by the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from osc.catalog import Catalog, Column, Constraint, Index, Table
from osc.catalog.model import WHOLE_ROW
from osc.errors import Finding, Severity
from osc.names import quote
from osc.operations import belongings, defaults
from osc.operations.obstacles import made_before, readers
from osc.operations.proving import frozen_moments
from osc.operations.tokens import identifiers
from osc.program.model import Probe, Proof

_SYSTEM_COLUMNS = ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid")


def null_is_unset(column: Column) -> bool:
    """Return whether NULL in an INSERT cannot be meant: the old application's own would have been refused."""
    return column.not_null and column.default is None


def rules(table: Table, column: str) -> tuple[Constraint, ...]:
    """Return the checks and foreign keys that could refuse a row because of ``column``."""
    return tuple(one for one in table.constraints if one.type in ("c", "f") and column in one.columns)


def system_column(table: Table, name: str) -> Finding | None:
    """Return the finding for a column that every table has, or ``None``."""
    if name not in _SYSTEM_COLUMNS:
        return None
    return _finding("C211", f"{name} is a system column of {table.name}: it cannot be dropped", "name another column")


def objections(
    catalog: Catalog, table: Table, column: Column, *, down: str | None, also_drop: Sequence[str]
) -> Iterator[Finding]:
    """Yield what forbids that ``column`` goes (B26), each with everything it is about by name."""
    if column.identity:
        hint = "ALTER … DROP IDENTITY and give it a default nextval(…) first"
        yield _finding("C214", f"{table.name}.{column.name} is an identity column", hint)
    if (fact := catalog.types.get(column.type)) is not None and fact.rejects_null:
        yield _finding(
            "C223",
            f"{table.name}.{column.name} is of domain {column.type}, which refuses NULL",
            "no trigger could give a row its value: use the base type with NOT NULL first",
        )
    yield from readers(table, column.name)
    yield from _of_the_table(table, column.name)
    yield from _shared(table, column.name, also_drop)
    yield from _values(table, column, down)


def _of_the_table(table: Table, column: str) -> Iterator[Finding]:
    parts: tuple[Index | Constraint, ...] = (*table.indexes, *table.constraints)
    if earlier := [one.name for one in parts if made_before(one, column)]:
        what = ", ".join(dict.fromkeys(earlier))
        hint = "leave it out: it would go with the column"
        yield _finding(
            "C234", f"{what} on {table.name}.{column}: made or replaced by an earlier operation of this plan", hint
        )
        return
    for index in table.indexes:
        held = "is the primary key" if index.primary else "is the replica identity" if index.replica_identity else ""
        if WHOLE_ROW in index.expression_references:
            held = "reads the whole row"
        if held and (column in index.uses or WHOLE_ROW in index.expression_references):
            yield _finding("C215", f"index {index.name} on {table.name}.{column} {held}", "replace or drop it first")
    for rule in table.constraints:
        whole = WHOLE_ROW in rule.expression_references
        lasting = rule in rules(table, column) and belongings.rewritten(rule, column, column) is None
        if whole or lasting:
            yield _finding(
                "C216",
                f"constraint {rule.name} on {table.name}.{column} could not be put back on the way back",
                "drop it first",
            )


def _shared(table: Table, column: str, also_drop: Sequence[str]) -> Iterator[Finding]:
    shared = _covering_others(table, column)
    for name, what in shared.items():
        if name not in also_drop:
            yield _finding(
                "C235",
                f"{what} covers other columns than {table.name}.{column} as well, and would go with it",
                f"build what is to replace it first, then say also_drop: [{name}]",
            )
    for number, name in enumerate(also_drop):
        if name not in shared:
            known = f"these: {', '.join(shared)}" if shared else "there is nothing to name"
            yield Finding(
                "C236",
                f"{name} is nothing that covers {table.name}.{column} and other columns",
                f"name what covers both, {known}; what is of this column alone goes with it unnamed",
                path=("also_drop", number),
            )


def _covering_others(table: Table, column: str) -> dict[str, str]:
    """Return what would go with ``column`` although it serves others, by name; the key is said above."""
    found = {one.name: f"constraint {one.name}" for one in table.constraints
             if one.type in ("c", "f", "u", "x") and column in one.columns and len(set(one.columns)) > 1}  # fmt: skip
    for index in table.indexes:
        if column in index.uses and len(set(index.uses)) > 1 and not (index.primary or index.replica_identity):
            found.setdefault(index.constraint or index.name, f"index {index.name}")
    for one in table.dependents:
        if one.kind == "statistics" and column in one.columns:
            found[one.name.rpartition(".")[2].strip('"')] = f"statistics {one.name}"
    return found


def _values(table: Table, column: Column, down: str | None) -> Iterator[Finding]:
    if down is None:
        if null_is_unset(column) and not column.identity:
            yield Finding(
                "V158",
                f"{table.name}.{column.name} is NOT NULL without a default: as long as it lives, every row that the new "
                "application inserts without it would be refused",
                "give down: a value over the new row, which such rows get until the drop",
                path=("down",),
            )
        return
    if column.generated:
        yield Finding("C213", f"{table.name}.{column.name} is a generated column", "leave down out", path=("down",))
    if column.name in identifiers(down):
        yield Finding(
            "V159",
            f"down reads {column.name}, the column that it is to give a value",
            "compute it from the other columns, or give a constant",
            path=("down",),
        )
    if not null_is_unset(column):
        value = f"its default {column.default}" if column.default is not None else "NULL"
        yield Finding(
            "V164",
            f"the old application may mean {value} in {table.name}.{column.name}: down is used only in sessions that say "
            "SET osc.writer = 'new'",
            f"let the new application say so, or leave down out: its rows then get {value}",
            Severity.WARNING,
            path=("down",),
        )


def proofs(table: Table, column: Column, down: str) -> Iterator[Proof]:
    """Yield the proof that ``down`` is one immutable expression over the row, of the column's type."""
    clone = f"pg_temp.{quote(table.name.name)}"
    yield Proof(
        sql=(
            f"CREATE TEMPORARY TABLE {quote(table.name.name)} (LIKE {table.name.sql})",
            f"ALTER TABLE {clone} ADD COLUMN osc_proven {column.type} GENERATED ALWAYS AS (\n{down}\n) STORED",
            *frozen_moments(table.name, down),
        ),
        code="C230",
        expression=down,
        typing=f"SELECT (\n{down}\n)::{column.type} FROM {table.scanned} AS {quote(table.name.name)} LIMIT 0",
        path=("down",),
        hint="one immutable expression over the other columns; qualify what is not in pg_catalog",
    )


def probes(table: Table, column: Column) -> Iterator[Probe]:
    """Yield a probe for each check that refuses what a row has in ``column`` which does not name it."""
    if null_is_unset(column) or column.generated or not (column.default is None or defaults.comparable(column.default)):
        return
    value = f"SELECT (\n{column.default or 'NULL'}\n)::{column.type} AS {quote(column.name)}"
    for rule in rules(table, column.name):
        if rule.type == "c" and rule.columns == (column.name,) and rule.definition is not None:
            condition = rule.definition.removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT")
            yield Probe(
                sql=f"SELECT {_word(column)} FROM ({value}) AS {quote(table.name.name)} WHERE {condition} IS FALSE",
                code="C237",
                message=f"constraint {rule.name} refuses what a row has in {table.name}.{column.name} that does not name it",
                hint="the new application could insert nothing as long as the column lives: give it a default that the "
                "constraint allows, or drop the constraint, first",
                path=("column",),
            )


def _word(column: Column) -> str:
    return f"coalesce({quote(column.name)}::text, 'NULL')"


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code, message, hint, path=("column",))
