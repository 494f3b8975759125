"""add_column: a new column, with a constant or volatile default, or a value computed by ``up`` from the rest of the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from osc.catalog import Catalog, Column, Table
from osc.catalog.effects import AddColumn as ColumnAdded
from osc.catalog.effects import DropColumn, Effect, SetColumn
from osc.errors import Finding, Severity
from osc.names import QName, literal, quote
from osc.operations import casts, defaults, proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression, Value
from osc.operations.fields import ColumnName, TypeName
from osc.operations.nullability import not_null
from osc.operations.parts import AnalyzePart, Ddl, Pair, Part, Stage
from osc.program.model import Probe, Proof
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


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

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        return list(self._objections(table))

    def _objections(self, table: Table) -> Iterator[Finding]:
        if table.column(self.column) is not None:
            yield Finding(
                "C210", f"column {self.table}.{self.column} exists already", "choose another name", path=("column",)
            )
        if self.not_null and self.up is None and (self.default is None or self.default.kind == "null"):
            yield Finding("V145", "NOT NULL needs a value for the rows that are there and for those the old application inserts",
                          "give default: or up:", path=("not_null",))  # fmt: skip
        if table.column_numbers_used + 1 > proving.COLUMNS_MAX:
            yield Finding("C245", f"table {self.table} has used {table.column_numbers_used} of {proving.COLUMNS_MAX} columns",
                          "dropped columns count; the table must be made anew", path=("table",))  # fmt: skip
        if self._stable_default:
            yield Finding("V146", f"{self.default.as_sql() if self.default else ''} is evaluated once: all rows that are there get one value",
                          "leave it if that is meant", Severity.WARNING, path=("default",))  # fmt: skip
        if self._filled:
            yield from proving.pairable(table)

    @property
    def _constant_default(self) -> bool:
        return self.default is not None and (
            self.default.kind != "sql" or defaults.evaluated_once(self.default.as_sql())
        )

    @property
    def _stable_default(self) -> bool:
        return (
            self.default is not None
            and self.default.kind == "sql"
            and defaults.evaluated_once(self.default.as_sql())
            and (not defaults.is_constant(self.default.as_sql()))
        )

    @property
    def _filled(self) -> bool:
        return self.up is not None or (self.default is not None and not self._constant_default)

    def proofs(self, catalog: Catalog) -> Iterator[Proof]:
        table = catalog.table(self.table)
        if table is None:
            return
        clone = (f"CREATE TEMPORARY TABLE {quote(self.table.name)} (LIKE {self.table.sql})",)
        alter = f"ALTER TABLE pg_temp.{quote(self.table.name)}"
        if self.up is not None:
            yield Proof(sql=(*clone, f"{alter} ADD COLUMN osc_proven {self.type} GENERATED ALWAYS AS (\n{self.up}\n) STORED"),
                        code="C230", expression=str(self.up),
                        typing=f"SELECT (\n{self.up}\n)::{self.type} FROM ONLY {self.table.sql} AS {quote(self.table.name)} LIMIT 0", path=("up",),
                        hint="one immutable expression over the row; qualify what is not in pg_catalog")  # fmt: skip
        if self.default is not None:
            yield Proof(sql=(*clone, f"{alter} ADD COLUMN osc_proven {self.type} DEFAULT {self.default.as_sql()}"),
                        code="C222", expression=self.default.as_sql(),
                        typing=f"SELECT (\n{self.default.as_sql()}\n)::{self.type} LIMIT 0", path=("default",),
                        hint="a default is a value of the type; it cannot read other columns")  # fmt: skip

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        return (defaults.type_probe(self.type),)

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        return tuple(self._parts(catalog))

    def _parts(self, catalog: Catalog) -> Iterator[Part]:
        table = catalog.table(self.table)
        assert table is not None
        yield self._add()
        if not self._filled:
            return
        if self.up is None:
            yield self._set_default(Phase.EXPAND, Stage.BEFORE_FILL)
        yield self._pair()
        if self.not_null:
            why = "" if self.up is None else f"NOT NULL on {self.column}: up may give NULL"
            yield not_null(table, self.column, catalog.server.major, narrowing=why)
        yield AnalyzePart(table=self.table, columns=(self.column,))
        if self.up is not None and self.default is not None:
            yield self._set_default(Phase.CONTRACT, Stage.RETIRE)

    def _lock(self) -> tuple[TableLock, ...]:
        return (TableLock(table=self.table, mode=Lock.ACCESS_EXCLUSIVE),)

    def _add(self) -> Ddl:
        alter = f"ALTER TABLE {self.table.sql}"
        default = (
            f" DEFAULT {self.default.as_sql()}" if self._constant_default and self.up is None and self.default else ""
        )
        not_null = " NOT NULL" if self.not_null and not self._filled else ""
        sql = [f"{alter} ADD COLUMN {quote(self.column)} {self.type}{default}{not_null}"]
        if self.comment is not None:
            sql.append(f"COMMENT ON COLUMN {self.table.sql}.{quote(self.column)} IS {literal(self.comment)}")
        column = Column(name=self.column, number=0, type=self.type, not_null=bool(not_null),
                        default=self.default.as_sql() if default and self.default else None)  # fmt: skip
        return Ddl(
            phase=Phase.EXPAND,
            label=f"add_column.{self.table.name}.{self.column}",
            title=f"Add {self.table}.{self.column} {self.type}{default}{not_null}",
            sql=tuple(sql),
            undo=(f"{alter} DROP COLUMN {quote(self.column)}",),
            locks=self._lock(),
            effects=(ColumnAdded(table=self.table, column=column),),
            undo_effects=(DropColumn(table=self.table, name=self.column),),
            note="A catalog change: a constant default is stored once and read for the rows that are there."
            if default
            else "",
        )

    def _set_default(self, phase: Phase, stage: Stage) -> Ddl:
        assert self.default is not None
        alter = f"ALTER TABLE {self.table.sql} ALTER COLUMN {quote(self.column)}"
        effect: tuple[Effect, ...] = (
            SetColumn(table=self.table, name=self.column, values={"default": self.default.as_sql()}),
        )
        return Ddl(
            phase=phase,
            stage=stage,
            label=f"default.{self.table.name}.{self.column}",
            title=f"New rows get the default of {self.table}.{self.column}",
            sql=(f"{alter} SET DEFAULT {self.default.as_sql()}",),
            undo=(f"{alter} DROP DEFAULT",),
            locks=self._lock(),
            effects=effect,
            undo_effects=(SetColumn(table=self.table, name=self.column, values={"default": None}),),
        )

    def _pair(self) -> Pair:
        """A volatile default needs a fill but no trigger: the default itself gives new rows their value."""
        up = str(self.up) if self.up is not None else (self.default.as_sql() if self.default else "NULL")
        return Pair(table=self.table, source=None, target=self.column, final=self.column, retired=self.column,
                    source_type=None, target_type=self.type, up=up, down=None, target_not_null=self.not_null,
                    target_image=casts.compare_by_image(self.type), trigger=self.up is not None,
                    up_never_null=self.up is None)  # fmt: skip
