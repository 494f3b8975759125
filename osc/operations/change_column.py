"""change_column: a column gets another type, another name, or both, while old and new application both write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from osc.catalog import Catalog, Column, Table
from osc.errors import Finding, Severity
from osc.names import QName
from osc.operations import casts, native, objections, pairing, proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression, Value
from osc.operations.fields import ColumnName, TypeName
from osc.operations.parts import Part
from osc.operations.replacement import Replacement, replacement
from osc.program.model import Probe, Proof


class ChangeColumn(Operation):
    """Change a column's type, its name, or both."""

    kind: ClassVar[str] = "change_column"
    summary: ClassVar[str] = "Change a column's type, its name, or both, with both versions of the application live."
    example: ClassVar[str] = """\
change_column:
  table: orders
  column: id
  to: order_id
  type: bigint
  up: id::bigint
  down: order_id::integer
"""

    table: QName
    column: ColumnName
    to: ColumnName | None = None
    """The new name; without it the column keeps its name and its type changes at switch."""
    type: TypeName | None = None
    up: Expression | None = None
    """The new value, over the old row. Left out: the cast."""
    down: Expression | Literal["none"] | None = None
    """The old value, over the new row. Left out: the cast back; ``none``: there is no way back after switch."""
    not_null: bool | None = None
    """Left out: as the old column, where ``up`` keeps NULL and not NULL apart (a plain cast)."""
    default: Value | None = None
    """The new column's default. Left out: the old one's, cast, where ``up`` is a plain cast."""
    same_name: Literal["accepted"] | None = None
    """Says that every running version accepts both types under the one name."""

    def describe(self) -> str:
        what = f"{self.table}.{self.column}"
        return f"change {what}" + (f" to {self.to}" if self.to else "") + (f" {self.type}" if self.type else "")

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def types_named(self) -> tuple[str, ...]:
        return (self.type,) if self.type is not None else ()

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: tuple(filter(None, (self.column, self.to)))}

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table, source = self._found(catalog)
        assert table is not None
        if source is None:
            return [objections.missing_column(table, self.column)]
        unusable = objections.unusable_type(catalog, self.type) if self.type is not None else None
        if unusable is not None:
            return [unusable]
        if self._is_native(catalog, table, source):
            return []
        new = self._new(catalog, table, source)
        return [*self._own_objections(new), *objections.replaceable(catalog, new)]

    def _own_objections(self, new: Replacement) -> Iterator[Finding]:
        source = new.source
        if self.to in (None, self.column) and casts.same_type(source.type, new.type) and self.up is None:
            yield Finding(
                "V140", "nothing would change", "give to: (a new name), type: (a new type), or both", path=("column",)
            )
        if self.to is None and not (casts.usual_under_one_name(source.type, new.type) or self.same_name):
            yield Finding(
                "V141",
                f"under one name every running version must accept both {source.type} and {new.type}",
                "give the column a new name with to:, or say same_name: accepted",
                path=("type",),
            )
        if source.default is not None and self.default is None and not new.plain_up:
            yield Finding(
                "V142",
                f"{self.table}.{self.column} has the default {source.default}; the new column will have none",
                "say default: (null for none)",
                Severity.WARNING,
                path=("default",),
            )
        if source.not_null and self.not_null is None and not new.plain_up:
            yield Finding(
                "V143",
                f"{self.table}.{self.column} is NOT NULL; the new column will not be",
                "say not_null: true or false",
                Severity.WARNING,
                path=("not_null",),
            )

    def proofs(self, catalog: Catalog) -> Iterable[Proof]:
        table, source = self._found(catalog)
        if table is None or source is None or self._is_native(catalog, table, source):
            return ()
        new = self._new(catalog, table, source)
        return proving.pair_proofs(new, up_given=self.up is not None, down_given=self.down is not None)

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        table, source = self._found(catalog)
        if table is None or source is None or self._is_native(catalog, table, source):
            return ()
        return proving.pair_probes(self._new(catalog, table, source))

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table, source = self._found(catalog)
        assert table is not None
        assert source is not None
        new = self._new(catalog, table, source, plan_id)
        return native.parts(table, source, new.type) if self._is_native(catalog, table, source) else pairing.parts(new)

    def _found(self, catalog: Catalog) -> tuple[Table | None, Column | None]:
        table = catalog.table(self.table)
        return table, table.column(self.column) if table else None

    def _new(self, catalog: Catalog, table: Table, source: Column, plan_id: str = "") -> Replacement:
        default = None if self.default is None or self.default.kind == "null" else self.default.as_sql()
        down = None if self.down is None or self.down == "none" else str(self.down)
        return replacement(
            catalog,
            table,
            source,
            to=self.to,
            type=self.type,
            up=str(self.up) if self.up is not None else None,
            down=down,
            one_way=self.down == "none",
            not_null=self.not_null,
            default=default,
            keep_default=self.default is None,
            plan_id=plan_id,
        )

    def _is_native(self, catalog: Catalog, table: Table, source: Column) -> bool:
        """Whether the author asks for nothing but the type, and the catalog alone can give it."""
        only_type = self.type is not None and {self.to, self.up, self.down, self.not_null, self.default} == {None}
        return only_type and native.is_native(catalog, table, source, self._new(catalog, table, source).type)
