"""rename_column: a column gets another name while both names work; the recipe is that of a new column in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from osc.catalog import Catalog, Column, Table
from osc.errors import Finding
from osc.names import QName, quote
from osc.operations import belongings, proving
from osc.operations.base import Operation, missing_table
from osc.operations.fields import ColumnName
from osc.operations.pairing import Replacement, parts
from osc.operations.parts import Part
from osc.program.model import Probe


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

    def columns_read_now(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        if table.column(self.column) is None:
            return [proving.missing_column(table, self.column)]
        found = [*belongings.obstacles(table, self.column), *proving.pairable(table)]
        if table.column(self.to) is not None:
            found.append(
                Finding(
                    "C210",
                    f"column {self.table}.{self.to} exists already",
                    "choose another name",
                    path=("to",),
                )
            )
        return found

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        table, source = self._found(catalog)
        return proving.pair_probes(self._new(table, source)) if table and source else ()

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table, source = self._found(catalog)
        assert table is not None and source is not None
        return parts(self._new(table, source, plan_id, catalog.server.major))

    def _found(self, catalog: Catalog) -> tuple[Table | None, Column | None]:
        table = catalog.table(self.table)
        return table, table.column(self.column) if table else None

    def _new(self, table: Table, source: Column, plan_id: str = "", server_major: int = 0) -> Replacement:
        return Replacement(table, source, self.to, source.type, quote(self.column), quote(self.to), source.not_null,
                           source.default, plan_id, server_major)  # fmt: skip
