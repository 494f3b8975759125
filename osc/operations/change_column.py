"""change_column: a column gets another type, another name, or both, while old and new application both write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from osc.catalog import Catalog, Column, Table
from osc.catalog.effects import SetColumn
from osc.errors import Finding, Severity
from osc.names import QName, quote
from osc.operations import belongings, casts, proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression, Value
from osc.operations.fields import ColumnName, TypeName
from osc.operations.pairing import Replacement, parts
from osc.operations.parts import AnalyzePart, Ddl, Part, Stage
from osc.program.model import Probe, Proof
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


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

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: tuple(filter(None, (self.column, self.to)))}

    def columns_read_now(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        source = table.column(self.column)
        if source is None:
            return [proving.missing_column(table, self.column)]
        if self._native(table, source):
            return []
        return [
            *self._own_objections(table, source),
            *belongings.obstacles(table, self.column),
            *proving.pairable(table),
        ]

    def _own_objections(self, table: Table, source: Column) -> Iterator[Finding]:
        if self.to is None and self.type is None:
            yield Finding(
                "V140",
                "nothing would change",
                "give to: (a new name), type: (a new type), or both",
                path=("column",),
            )
        if self.to is not None and table.column(self.to) is not None:
            yield Finding("C210", f"column {self.table}.{self.to} exists already", "choose another name", path=("to",))
        target_type = self.type or source.type
        if self.to is None and not (casts.usual_under_one_name(source.type, target_type) or self.same_name):
            yield Finding("V141", f"under one name every running version must accept both {source.type} and {target_type}",
                          "give the column a new name with to:, or say same_name: accepted", path=("type",))  # fmt: skip
        if source.default is not None and self.default is None and not self._new(table, source).plain_up:
            yield Finding("V142", f"{self.table}.{self.column} has the default {source.default}, and up is not a plain cast",
                          "give default: for the new column (null for none)", path=("default",))  # fmt: skip
        if source.not_null and self.not_null is None and not self._new(table, source).plain_up:
            yield Finding("V143", f"{self.table}.{self.column} is NOT NULL; the new column will not be",
                          "say not_null: true or false", Severity.WARNING, path=("not_null",))  # fmt: skip
        unique = [index for index in table.indexes if index.unique and self.column in index.uses and not index.primary]
        if unique and not self._new(table, source).injective and self.down != "none":
            yield Finding("C221", f"unique index {unique[0].name} reads {self.column}, and two values may become one",
                          "drop it first, or use a cast that keeps values apart", path=("up",))  # fmt: skip

    def proofs(self, catalog: Catalog) -> Iterable[Proof]:
        table, source = self._found(catalog)
        if table is None or source is None or self._native(table, source):
            return ()
        new = self._new(table, source)
        return proving.pair_proofs(new, up_given=self.up is not None, down_given=self.down is not None)

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        table, source = self._found(catalog)
        if table is None or source is None or self._native(table, source):
            return ()
        return proving.pair_probes(self._new(table, source))

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table, source = self._found(catalog)
        assert table is not None and source is not None
        if self._native(table, source):
            return self._native_parts(source)
        return parts(self._new(table, source, plan_id, catalog.server.major))

    def _found(self, catalog: Catalog) -> tuple[Table | None, Column | None]:
        table = catalog.table(self.table)
        return table, table.column(self.column) if table else None

    def _new(self, table: Table, source: Column, plan_id: str = "", server_major: int = 0) -> Replacement:
        target_type = self.type or source.type
        final = self.to or self.column
        up = str(self.up) if self.up is not None else casts.cast(self.column, target_type)
        down = None if self.down == "none" else str(self.down or casts.cast(final, source.type))
        plain = casts.is_plain_cast(up, self.column)
        not_null = self.not_null if self.not_null is not None else (source.not_null and plain)
        return Replacement(table, source, self.to, target_type, up, down, not_null, self._default(source, target_type),
                           plan_id, server_major)  # fmt: skip

    def _default(self, source: Column, target_type: str) -> str | None:
        if self.default is not None:
            return None if self.default.kind == "null" else self.default.as_sql()
        if source.default is None:
            return None
        if source.default.startswith("nextval("):
            return source.default
        return f"({source.default})::{target_type}"

    def _native(self, table: Table, source: Column) -> bool:
        """Whether ALTER COLUMN TYPE alone does it: no rewrite, and nothing that the server would rebuild or scan."""
        if self.to is not None or self.type is None or self.up is not None or self.down is not None:
            return False
        if not casts.needs_no_rewrite(source.type, self.type):
            return False
        indexed = any(self.column in index.uses and (index.partial or None in index.columns) for index in table.indexes)
        checked = any(self.column in one.columns and one.type in ("c", "f", "x") for one in table.constraints)
        return not indexed and not checked and next(belongings.obstacles(table, self.column), None) is None

    def _native_parts(self, source: Column) -> tuple[Part, ...]:
        alter = f"ALTER TABLE {self.table.sql} ALTER COLUMN {quote(self.column)} TYPE {self.type}"
        change = Ddl(
            phase=Phase.SWITCH,
            stage=Stage.SWITCH,
            label=f"type.{self.table.name}.{self.column}",
            title=f"Change the type of {self.table}.{self.column} from {source.type} to {self.type} in the catalog",
            sql=(alter,),
            undo=None,
            locks=(TableLock(table=self.table, mode=Lock.ACCESS_EXCLUSIVE),),
            effects=(SetColumn(table=self.table, name=self.column, values={"type": self.type}),),
            note="No row is rewritten. There is no way back without one: give up and down to have the long way, which has.",
        )
        return (change, AnalyzePart(table=self.table, columns=(self.column,), stage=Stage.SWITCH))
