"""The keys of an index as a plan says them, and as CREATE INDEX wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from osc.names import quote
from osc.operations.expressions import Expression
from osc.operations.fields import ColumnName, Name
from osc.operations.tokens import refusal


class IndexColumn(BaseModel):
    """One key of an index: a column or an expression, with its order and classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: ColumnName | None = None
    expression: Expression | None = None
    order: Literal["asc", "desc"] | None = None
    nulls: Literal["first", "last"] | None = None
    opclass: Name | None = None
    """Schema-qualified if it is not in pg_catalog: ``public.gin_trgm_ops``."""
    collation: Name | None = None

    @model_validator(mode="after")
    def _one_of(self) -> IndexColumn:
        if (self.column is None) == (self.expression is None):
            raise refusal("V147", "an index column is either a column or an expression", hint="give one of the two")
        return self

    def as_sql(self, names: Mapping[str, str]) -> str:
        """Return it as CREATE INDEX wants it; an expression stands in brackets of its own.

        ``names`` says how columns are called now, where that is not how the plan calls them.
        """
        key = quote(names.get(self.column, self.column)) if self.column is not None else f"(\n{self.expression}\n)"
        collate = f" COLLATE {qualified(self.collation)}" if self.collation else ""
        opclass = f" {qualified(self.opclass)}" if self.opclass else ""
        order = f" {self.order.upper()}" if self.order else ""
        nulls = f" NULLS {self.nulls.upper()}" if self.nulls else ""
        return f"{key}{collate}{opclass}{order}{nulls}"


def qualified(name: str) -> str:
    """Return a name with its schema, each part quoted."""
    return ".".join(quote(part) for part in name.split("."))


def storage_value(value: str | float | bool) -> str:
    """Return the value of a storage parameter as SQL."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if not isinstance(value, str) else quote(value)
