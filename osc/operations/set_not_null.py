"""set_not_null: a column that may not be NULL any more; rows that hold NULL can get a value first, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from osc.catalog import Catalog, Column, Table
from osc.errors import Finding
from osc.names import QName
from osc.names import literal as quoted
from osc.operations import filling, objections
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Value
from osc.operations.fields import ColumnName
from osc.operations.nullability import not_null
from osc.operations.parts import Part
from osc.operations.tokens import identifiers
from osc.program.model import Probe, Proof
from osc.program.phase import Phase


class SetNotNull(Operation):
    """Make a column NOT NULL."""

    kind: ClassVar[str] = "set_not_null"
    summary: ClassVar[str] = (
        "Make a column NOT NULL without a scan under a strong lock; rows that hold NULL are filled in batches first, "
        "and rollback gives them their NULL back."
    )
    made_here: ClassVar[str] = "say not_null: true in the operation that makes the column"
    example: ClassVar[str] = """\
set_not_null:
  table: orders
  column: state
  fill: open
"""

    table: QName
    column: ColumnName
    fill: Value | None = None
    """What rows that hold NULL get: a scalar, or ``{sql: …}``, immutable, over the row. Without it there must be none."""
    enforce_at: Literal["contract"] | None = None
    """Fill, and make it NOT NULL, in contract, when the old application writes no more."""

    def describe(self) -> str:
        return f"make {self.table}.{self.column} NOT NULL"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        table, words = catalog.table(self.table), {self.column, *identifiers(self._value or "")}
        return {self.table: tuple(column.name for column in table.columns if column.name in words) if table else ()}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table, column = self._found(catalog)
        if column is None:
            return [objections.missing_column(table, self.column)]
        return list(self._objections(catalog, table, column))

    def _objections(self, catalog: Catalog, table: Table, column: Column) -> Iterator[Finding]:
        cannot = filling.cannot_be_set_not_null(catalog, table, column)
        if cannot is not None:
            yield cannot
        elif self.fill is not None and self.fill.kind == "null":
            yield Finding(
                "V145", "fill is NULL, which is what is to go", "give a value, or leave it out", path=("fill",)
            )
        elif self._value is not None:
            yield from filling.cannot_be_filled(table)

    def proofs(self, catalog: Catalog) -> Iterable[Proof]:
        table, column = self._found(catalog)
        return filling.proofs(table, column, self._value, scalar=self._scalar) if column and self._value else ()

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        table, column = self._found(catalog)
        return filling.probes(table, column, self._value) if column else ()

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        return tuple(self._parts(catalog))

    def _parts(self, catalog: Catalog) -> Iterator[Part]:
        table, column = self._found(catalog)
        assert column is not None
        phase = Phase.CONTRACT if self.enforce_at == "contract" else Phase.BACKFILL
        if self._value is not None:
            yield filling.pair(table, column, self._value, phase)
        binds = f"NOT NULL on {self.column}: a row the application writes without a value is refused"
        narrowing = binds if phase is Phase.BACKFILL else ""
        yield not_null(table, self.column, catalog.server.major, narrowing=narrowing, phase=phase, path=("column",))

    def _found(self, catalog: Catalog) -> tuple[Table, Column | None]:
        table = catalog.table(self.table)
        assert table is not None
        return table, table.column(self.column)

    @property
    def _scalar(self) -> bool:
        return self.fill is not None and self.fill.kind != "sql"

    @property
    def _value(self) -> str | None:
        """The fill as SQL. A scalar is a literal without a type, which the column's own input reads: 1.5 is no integer."""
        if self.fill is None or self.fill.kind == "null":
            return None
        return quoted(self.fill.text) if self._scalar else self.fill.text
