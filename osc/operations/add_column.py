"""add_column: a new column, with a constant or volatile default, or computed by ``up`` from the rest of the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from osc.catalog import Catalog, Column, Table
from osc.catalog.effects import AddColumn as ColumnAdded
from osc.catalog.effects import DropColumn, SetColumn
from osc.errors import Finding, Severity
from osc.names import QName, literal, quote
from osc.operations import casts, defaults, objections, proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression, Value
from osc.operations.fields import ColumnName, TypeName
from osc.operations.nullability import not_null
from osc.operations.pairing import strong
from osc.operations.parts import AnalyzePart, Ddl, Pair, Part, Stage
from osc.program.model import Probe, Proof
from osc.program.phase import Phase


class AddColumn(Operation):
    """Add a column."""

    kind: ClassVar[str] = "add_column"
    summary: ClassVar[str] = (
        "Add a column; a volatile default or an up expression is filled in batches, without a rewrite."
    )
    example: ClassVar[str] = """\
add_column:
  table: users
  column: email_domain
  type: text
  up: lower(split_part(email, '@', 2))
"""

    table: QName
    column: ColumnName
    type: TypeName
    default: Value | None = None
    """A constant takes no time; anything the server must compute for each row is filled in batches."""
    not_null: bool = False
    up: Expression | None = None
    """The value of rows that are there or are still written by the old application; immutable."""
    comment: str | None = None

    def describe(self) -> str:
        return f"add {self.table}.{self.column} {self.type}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def types_named(self) -> tuple[str, ...]:
        return (self.type,)

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        return list(self._objections(table, catalog))

    def _objections(self, table: Table, catalog: Catalog) -> Iterator[Finding]:
        for finding in (
            objections.name_taken(table, self.column, "column"),
            objections.unusable_type(catalog, self.type),
        ):
            if finding is not None:
                yield finding
        if self.not_null and self.up is None and self._default is None:
            yield Finding(
                "V145",
                "NOT NULL needs a value for the rows that are there and for those the old application inserts",
                "give default: or up:",
                path=("not_null",),
            )
        if table.column_numbers_used + 1 > objections.COLUMNS_MAX:
            yield Finding(
                "C245",
                f"table {self.table} has used {table.column_numbers_used} of {objections.COLUMNS_MAX} columns",
                "dropped columns count; the table must be made anew",
                path=("table",),
            )
        if self._default is not None and self.up is None and defaults.stable(self._default):
            yield Finding(
                "V146",
                f"{self._default} is evaluated once: all rows that are there get one value",
                "leave it if that is meant",
                Severity.WARNING,
                path=("default",),
            )
        if self._filled:
            yield from objections.pairable(table)

    @property
    def _default(self) -> str | None:
        return self.default.as_sql() if self.default is not None and self.default.kind != "null" else None

    @property
    def _at_once(self) -> str | None:
        """The default that ADD COLUMN itself can give: evaluated once, stored for the rows that are there."""
        constant = self._default is not None and (self._literal or defaults.evaluated_once(self._default))
        return self._default if constant and self.up is None else None

    @property
    def _literal(self) -> bool:
        return self.default is not None and self.default.kind != "sql"

    @property
    def _filled(self) -> bool:
        return self.up is not None or (self._default is not None and self._at_once is None)

    def proofs(self, catalog: Catalog) -> Iterator[Proof]:
        table = catalog.table(self.table)
        if table is None:
            return
        clone = (f"CREATE TEMPORARY TABLE {quote(self.table.name)} (LIKE {self.table.sql})",)
        alter = f"ALTER TABLE pg_temp.{quote(self.table.name)}"
        if self.up is not None:
            yield Proof(
                sql=(
                    *clone,
                    f"{alter} ADD COLUMN osc_proven {self.type} GENERATED ALWAYS AS (\n{self.up}\n) STORED",
                    *proving.frozen_moments(self.table, str(self.up)),
                ),
                code="C230",
                expression=str(self.up),
                typing=f"SELECT FROM ONLY {self.table.sql} AS {quote(self.table.name)} "
                f"WHERE ((\n{self.up}\n)::{self.type}) IS NULL LIMIT 0",
                path=("up",),
                hint="one immutable expression over the row; qualify what is not in pg_catalog",
            )
        if self._default is not None:
            yield Proof(
                sql=(*clone, f"{alter} ADD COLUMN osc_proven {self.type} DEFAULT {self._default}"),
                code="C222",
                expression=self._default,
                typing=f"SELECT (\n{self._default}\n)::{self.type} LIMIT 0",
                path=("default",),
                hint="a default is a value of the type; it cannot read other columns",
            )

    def probes(self, catalog: Catalog) -> Iterator[Probe]:
        table = catalog.table(self.table)
        if self.up is not None and self.not_null and table is not None:
            yield proving.null_probe(table, str(self.up), self.column, "not_null")

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        return tuple(self._parts(catalog))

    def _parts(self, catalog: Catalog) -> Iterator[Part]:
        table = catalog.table(self.table)
        assert table is not None
        yield self._add(self._type(catalog))
        if not self._filled:
            return
        if self.up is None:
            yield self._set_default(Phase.EXPAND, Stage.BEFORE_FILL)
        yield self._pair(self._type(catalog))
        if self.not_null:
            why = "" if self.up is None else f"NOT NULL on {self.column}: up may give NULL"
            yield not_null(table, self.column, catalog.server.major, narrowing=why)
        yield AnalyzePart(table=self.table, columns=(self.column,))
        if self.up is not None and self._default is not None:
            yield self._set_default(Phase.CONTRACT, Stage.RETIRE)

    def _type(self, catalog: Catalog) -> str:
        fact = catalog.types.get(self.type)
        return fact.name if fact is not None and fact.name else self.type

    def _add(self, type_name: str) -> Ddl:
        alter, at_once = f"ALTER TABLE {self.table.sql}", self._at_once
        not_null = self.not_null and not self._filled
        words = f"{type_name}{f' DEFAULT {at_once}' if at_once else ''}{' NOT NULL' if not_null else ''}"
        sql = [f"{alter} ADD COLUMN {quote(self.column)} {words}"]
        if self.comment is not None:
            sql.append(f"COMMENT ON COLUMN {self.table.sql}.{quote(self.column)} IS {literal(self.comment)}")
        column = Column(
            name=self.column, number=0, type=type_name, not_null=not_null, default=at_once, default_as_written=True
        )
        return Ddl(
            phase=Phase.EXPAND,
            label=f"add_column.{self.table.name}.{self.column}",
            title=f"Add {self.table}.{self.column} {words}",
            sql=tuple(sql),
            undo=(f"{alter} DROP COLUMN {quote(self.column)}",),
            locks=strong(self.table),
            effects=(ColumnAdded(table=self.table, column=column),),
            undo_effects=(DropColumn(table=self.table, name=self.column),),
            note="A catalog change: the default is stored once and read for the rows that are there."
            if at_once
            else "",
        )

    def _set_default(self, phase: Phase, stage: Stage) -> Ddl:
        alter = f"ALTER TABLE {self.table.sql} ALTER COLUMN {quote(self.column)}"
        written = {"default": self._default, "default_as_written": True}
        return Ddl(
            phase=phase,
            stage=stage,
            label=f"default.{self.table.name}.{self.column}",
            title=f"New rows get the default of {self.table}.{self.column}",
            sql=(f"{alter} SET DEFAULT {self._default}",),
            undo=(f"{alter} DROP DEFAULT",),
            locks=strong(self.table),
            effects=(SetColumn(table=self.table, name=self.column, values=written),),
            undo_effects=(SetColumn(table=self.table, name=self.column, values={"default": None}),),
        )

    def _pair(self, type_name: str) -> Pair:
        """A volatile default needs a fill but no trigger: the default itself gives new rows their value."""
        up = str(self.up) if self.up is not None else str(self._default)
        return Pair(
            table=self.table,
            source=None,
            target=self.column,
            final=self.column,
            retired=self.column,
            source_type=None,
            target_type=type_name,
            up=up,
            down=None,
            target_image=casts.compare_by_image(type_name),
            trigger=self.up is not None,
            up_never_null=self.up is None,
        )
