"""rename_column: a column gets another name while both names work; the recipe is that of a new column in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from osc.catalog import Catalog
from osc.errors import Finding
from osc.names import QName
from osc.operations import objections, pairing
from osc.operations.base import Operation, missing_table
from osc.operations.fields import ColumnName
from osc.operations.parts import Part
from osc.operations.replacement import Replacement, replacement


class RenameColumn(Operation):
    """Rename a column."""

    kind: ClassVar[str] = "rename_column"
    summary: ClassVar[str] = "Rename a column; until contract both names can be read and written."
    example: ClassVar[str] = """\
rename_column:
  table: users
  column: mail
  to: email
"""

    table: QName
    column: ColumnName
    to: ColumnName

    def describe(self) -> str:
        return f"rename {self.table}.{self.column} to {self.to}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column, self.to)}

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        if table.column(self.column) is None:
            return [objections.missing_column(table, self.column)]
        return objections.replaceable(catalog, self._new(catalog))

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        return pairing.parts(self._new(catalog, plan_id))

    def _new(self, catalog: Catalog, plan_id: str = "") -> Replacement:
        table = catalog.table(self.table)
        source = table.column(self.column) if table else None
        assert table is not None
        assert source is not None
        return replacement(catalog, table, source, to=self.to, type=None, plan_id=plan_id)
