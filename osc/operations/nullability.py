"""NOT NULL without a scan under a strong lock: by name and NOT VALID on 18, by a proven check before (R-NOTNULL)."""

from __future__ import annotations

from osc.catalog import Constraint, Table
from osc.names import NAME_BYTES_MAX, generated, quote
from osc.operations.parts import ConstraintPart, Stage
from osc.operations.shown import shown_key
from osc.program.phase import Phase


def not_null(
    table: Table,
    column: str,
    server_major: int,
    *,
    name: str = "",
    narrowing: str = "",
    validate_it: bool = True,
    comment: str | None = None,
    stage: Stage = Stage.AFTER_FILL,
    phase: Phase = Phase.BACKFILL,
    path: tuple[str | int, ...] = (),
) -> ConstraintPart:
    """Return the part that makes ``column`` NOT NULL once no row violates it.

    ``name`` is the constraint's on 18 and later (default: the one the server would give it); before, a check of a
    generated name stands in and is dropped once SET NOT NULL has used it as its proof.
    """
    alter = f"ALTER TABLE {table.name.sql}"
    title = f"Make {table.name}.{column} NOT NULL"
    if server_major >= 18:
        named = name or _free(automatic_name(table.name.name, column, "not_null"), table, column)
        add = f"{alter} ADD CONSTRAINT {quote(named)} NOT NULL {quote(column)} NOT VALID"
        return ConstraintPart(
            table=table.name,
            name=named,
            type="n",
            columns=(column,),
            add=add,
            title=title,
            narrowing=narrowing,
            validate_it=validate_it,
            comment=comment,
            stage=stage,
            phase=phase,
            violations=nulls(table, column),
            path=path,
        )
    check = generated("nn", table.name.name, column)
    add = f"{alter} ADD CONSTRAINT {quote(check)} CHECK ({quote(column)} IS NOT NULL) NOT VALID"
    return ConstraintPart(
        table=table.name,
        name=check,
        type="c",
        columns=(column,),
        add=add,
        set_not_null=column,
        title=title,
        narrowing=narrowing,
        stage=stage,
        phase=phase,
        violations=nulls(table, column),
        path=path,
    )


def nulls(table: Table, column: str) -> str:
    """Return the query for rows that hold NULL, some of them, by key."""
    me = quote(table.name.name)
    return f"SELECT {shown_key(table)} FROM {table.scanned} AS {me} WHERE {me}.{quote(column)} IS NULL LIMIT 20"


def not_null_constraint(table: Table, column: str) -> Constraint | None:
    """Return the NOT NULL constraint on ``column``, on servers where it is one (18 and later)."""
    return next((one for one in table.constraints if one.type == "n" and one.columns == (column,)), None)


def automatic_name(table: str, column: str, label: str) -> str:
    """Return the name the server gives a constraint by itself; the longer part is cut first (makeObjectName)."""
    parts = [table.encode(), column.encode()]
    room = NAME_BYTES_MAX - len(label) - 2
    while sum(map(len, parts)) > room:
        longer = 0 if len(parts[0]) > len(parts[1]) else 1
        parts[longer] = parts[longer][:-1]
    return "_".join([*(part.decode(errors="ignore") for part in parts), label])


def _free(name: str, table: Table, column: str) -> str:
    return name if table.constraint(name) is None else generated("nn", table.name.name, column)
