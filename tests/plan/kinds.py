"""Kinds of operations that the tests of plan and linter need, independent of those of the package."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from osc.catalog import Catalog
from osc.names import QName
from osc.operations.base import Operation
from osc.operations.expressions import Expression, Value
from osc.operations.parts import Part


class TableOperation(Operation):
    table: QName

    def describe(self) -> str:
        return f"{self.kind} {self.table}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        return ()


class Change(TableOperation):
    kind = "change_column"
    summary = "Change a column."
    example: ClassVar[str] = "change_column:\n  table: orders\n  column: id\n  type: bigint\n"

    column: str
    to: str | None = None
    type: str | None = None
    up: Expression | None = None
    down: Expression | Literal["none"] | None = None
    not_null: bool = False
    default: Value | None = None


class Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    expression: Expression | None = None
    order: Literal["asc", "desc"] = "asc"


class Index(TableOperation):
    kind = "create_index"

    name: str
    keys: tuple[str | Key, ...]
    unique: bool = False


class Add(TableOperation):
    kind = "add_column"

    column: str
    type: str


KINDS: dict[str, type[Operation]] = {one.kind: one for one in (Change, Index, Add)}

PLAN = """\
osc: 1
operations:
  - change_column: {table: users, column: a, to: b}
"""
