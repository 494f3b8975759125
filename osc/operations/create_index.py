"""create_index: an index, built concurrently under supervision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from osc.catalog import Catalog, Table
from osc.errors import Finding
from osc.names import QName, quote
from osc.operations import proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression
from osc.operations.fields import ColumnName, Name
from osc.operations.parts import IndexPart, Part
from osc.operations.tokens import identifiers, refusal
from osc.program.model import Probe, Proof
from osc.program.phase import Phase

INDEX_COLUMNS_MAX = 32
"""INDEX_MAX_KEYS of a stock server, INCLUDE columns counted."""


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

    def as_sql(self) -> str:
        """Return it as CREATE INDEX wants it; an expression stands in brackets of its own."""
        key = quote(self.column) if self.column is not None else f"(\n{self.expression}\n)"
        collate = f" COLLATE {_qualified(self.collation)}" if self.collation else ""
        opclass = f" {_qualified(self.opclass)}" if self.opclass else ""
        order = f" {self.order.upper()}" if self.order else ""
        nulls = f" NULLS {self.nulls.upper()}" if self.nulls else ""
        return f"{key}{collate}{opclass}{order}{nulls}"


class CreateIndex(Operation):
    """Create an index."""

    kind: ClassVar[str] = "create_index"
    summary: ClassVar[str] = (
        "Build an index concurrently, after the fill; a failed build is cleaned up and tried again."
    )
    example: ClassVar[str] = """\
create_index:
  table: users
  name: users_email_idx
  columns: [email]
"""

    table: QName
    name: Name
    columns: tuple[ColumnName | IndexColumn, ...] = Field(min_length=1)
    unique: bool = False
    nulls_not_distinct: bool = False
    method: Literal["btree", "hash", "gin", "gist", "spgist", "brin"] | Name = "btree"
    include: tuple[ColumnName, ...] = ()
    where: Expression | None = None
    storage: dict[str, str | int | float | bool] = {}
    """Storage parameters: ``{fillfactor: 80}``."""
    enforce_at: Literal["contract"] | None = None
    """For a unique index: build it in contract, when the old application writes no more."""

    def describe(self) -> str:
        return f"create {'unique ' if self.unique else ''}index {self.name} on {self.table}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def _keys(self) -> tuple[IndexColumn, ...]:
        return tuple(IndexColumn(column=one) if isinstance(one, str) else one for one in self.columns)

    def columns_read(self, table: Table) -> tuple[str, ...]:
        """Return the columns of ``table`` that the index reads (expressions: every word that is a column)."""
        words: set[str] = set(self.include)
        for key in self._keys():
            words |= {key.column} if key.column is not None else identifiers(str(key.expression))
        if self.where is not None:
            words |= identifiers(str(self.where))
        return tuple(column.name for column in table.columns if column.name in words)

    def columns_read_now(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: tuple(key.column for key in self._keys() if key.column is not None)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        return list(self._objections(table, catalog))

    def _objections(self, table: Table, catalog: Catalog) -> Iterator[Finding]:
        for number, name in enumerate(self.columns):
            column = name if isinstance(name, str) else name.column
            if column is not None and table.column(column) is None:
                found = proving.missing_column(table, column)
                yield Finding(found.code, found.message, found.hint, path=("columns", number))
        for number, column in enumerate(self.include):
            if table.column(column) is None:
                found = proving.missing_column(table, column)
                yield Finding(found.code, found.message, found.hint, path=("include", number))
        if len(self.columns) + len(self.include) > INDEX_COLUMNS_MAX:
            yield Finding(
                "C245", f"an index has at most {INDEX_COLUMNS_MAX} columns", "leave some out", path=("columns",)
            )
        yield from self._name_objections(table, catalog)
        if self.nulls_not_distinct and catalog.server.major < 15:
            yield Finding(
                "C103", "NULLS NOT DISTINCT needs PostgreSQL 15", "leave it out", path=("nulls_not_distinct",)
            )
        if 140_000 <= catalog.server.version_num < 140_004:
            yield Finding("C110", "CREATE INDEX CONCURRENTLY can corrupt indexes on PostgreSQL 14.0 to 14.3",
                          "update the server to 14.4 or later", path=("name",))  # fmt: skip
        if self.unique and self.method != "btree":
            yield Finding("V148", f"a unique index cannot be of method {self.method}", "use btree", path=("method",))

    def _name_objections(self, table: Table, catalog: Catalog) -> Iterator[Finding]:
        index = table.index(self.name)
        if index is not None and not index.valid:
            yield Finding("C240", f"index {self.name} exists and is invalid: a build by somebody else failed",
                          f"DROP INDEX CONCURRENTLY {QName(self.table.schema, self.name)} first", path=("name",))  # fmt: skip
        elif index is not None or self.name in catalog.relation_names.get(self.table.schema, ()):
            yield Finding(
                "C241", f"{QName(self.table.schema, self.name)} exists already", "choose another name", path=("name",)
            )

    def proofs(self, catalog: Catalog) -> Iterator[Proof]:
        table = catalog.table(self.table)
        if table is None:
            return
        clone = f"CREATE TEMPORARY TABLE {quote(self.table.name)} (LIKE {self.table.sql})"
        columns = ", ".join(f"ADD COLUMN IF NOT EXISTS {quote(column.name)} {column.type}" for column in table.columns)
        yield Proof(
            sql=(clone, f"ALTER TABLE pg_temp.{quote(self.table.name)} {columns}",
                 f"CREATE {'UNIQUE ' if self.unique else ''}INDEX ON pg_temp.{quote(self.table.name)} {self._definition()}"),
            code="C232", expression=f"{self.name}: {self._definition()}", path=("columns",),
            hint="expressions and predicates must be immutable; qualify what is not in pg_catalog",
        )  # fmt: skip

    def probes(self, catalog: Catalog) -> Iterator[Probe]:
        if not self.unique or any(key.expression is not None for key in self._keys()):
            return
        keys = ", ".join(quote(key.column) for key in self._keys() if key.column)
        shown = " || ', ' || ".join(f"{quote(key.column)}::text" for key in self._keys() if key.column)
        distinct = (
            ""
            if self.nulls_not_distinct
            else " AND ".join(f"{quote(k.column)} IS NOT NULL" for k in self._keys() if k.column)
        )
        conditions = [text for text in (distinct, f"(\n{self.where}\n)" if self.where else "") if text]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        yield Probe(
            sql=f"SELECT {shown} FROM ONLY {self.table.sql} AS {quote(self.table.name)}{where} GROUP BY {keys} HAVING count(*) > 1 LIMIT 20",
            code="C242",
            message=f"rows that unique index {self.name} does not allow (equal keys)",
            hint="make them different, or delete the duplicates, first",
            path=("unique",),
        )

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table = catalog.table(self.table)
        assert table is not None
        return (
            IndexPart(
                table=self.table,
                name=self.name,
                unique=self.unique,
                on=f"ON {self.table.sql} {self._definition()}",
                columns=tuple(key.column for key in self._keys()),
                uses=self.columns_read(table),
                title=f"Build {'unique ' if self.unique else ''}index {self.name}",
                phase=Phase.CONTRACT if self.enforce_at == "contract" else Phase.BACKFILL,
                narrowing="unique: a row the application writes may be refused"
                if self.unique and not self.enforce_at
                else "",
                path=("unique",),
            ),
        )

    def _definition(self) -> str:
        keys = ", ".join(key.as_sql() for key in self._keys())
        include = f" INCLUDE ({', '.join(quote(column) for column in self.include)})" if self.include else ""
        nulls = " NULLS NOT DISTINCT" if self.nulls_not_distinct else ""
        storage = ", ".join(f"{quote(name)} = {_storage(value)}" for name, value in self.storage.items())
        where = f" WHERE (\n{self.where}\n)" if self.where is not None else ""
        return f"USING {quote(self.method)} ({keys}){include}{nulls}{f' WITH ({storage})' if storage else ''}{where}"


def _storage(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if not isinstance(value, str) else quote(value)


def _qualified(name: str) -> str:
    return ".".join(quote(part) for part in name.split("."))
