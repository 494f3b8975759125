"""NOT NULL without a scan under a strong lock: by name and NOT VALID on 18, by a proven check before (R-NOTNULL)."""

from __future__ import annotations

from osc.catalog import Table
from osc.names import generated, quote
from osc.operations.parts import ConstraintPart, Stage


def not_null(
    table: Table,
    column: str,
    server_major: int,
    *,
    name: str = "",
    narrowing: str = "",
    stage: Stage = Stage.AFTER_FILL,
) -> ConstraintPart:
    """Return the part that makes ``column`` NOT NULL once no row violates it.

    ``name`` is the constraint's on 18 and later (default: the one the server would give it); before, a check of a
    generated name stands in and is dropped once SET NOT NULL has used it as its proof.
    """
    alter = f"ALTER TABLE {table.name.sql}"
    title = f"Make {table.name}.{column} NOT NULL"
    if server_major >= 18:
        named = name or f"{table.name.name}_{column}_not_null"
        if len(named.encode()) > 63:
            named = generated("nn", table.name.name, column)
        add = f"{alter} ADD CONSTRAINT {quote(named)} NOT NULL {quote(column)} NOT VALID"
        return ConstraintPart(table=table.name, name=named, type="n", columns=(column,), add=add, title=title,
                              narrowing=narrowing, stage=stage)  # fmt: skip
    check = generated("nn", table.name.name, column)
    add = f"{alter} ADD CONSTRAINT {quote(check)} CHECK ({quote(column)} IS NOT NULL) NOT VALID"
    return ConstraintPart(table=table.name, name=check, type="c", columns=(column,), add=add, set_not_null=column,
                          title=title, narrowing=narrowing, stage=stage)  # fmt: skip


def not_null_name(table: Table, column: str) -> str | None:
    """Return the name of the NOT NULL constraint on ``column``, on servers where it has one (18 and later)."""
    return next((one.name for one in table.constraints if one.type == "n" and one.columns == (column,)), None)
