"""create_index: an index, built concurrently under supervision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from osc.catalog import Catalog, Table
from osc.errors import Finding
from osc.names import QName, quote
from osc.operations import objections, proving
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression
from osc.operations.fields import ColumnName, Name
from osc.operations.index_keys import IndexColumn, storage_value
from osc.operations.parts import IndexPart, Part
from osc.operations.tokens import identifiers
from osc.program.model import Probe, Proof
from osc.program.phase import Phase

INDEX_COLUMNS_MAX = 32
"""INDEX_MAX_KEYS of a stock server, INCLUDE columns counted."""


class CreateIndex(Operation):
    """Create an index."""

    kind: ClassVar[str] = "create_index"
    summary: ClassVar[str] = (
        "Build an index concurrently, after the fill; a failed build is cleaned up and tried again."
    )
    proven_on_later_shape: ClassVar[bool] = True
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
    storage: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Storage parameters: ``{fillfactor: 80}``."""
    enforce_at: Literal["contract"] | None = None
    """For a unique index: build it in contract, when the old application writes no more."""

    def describe(self) -> str:
        return f"create {'unique ' if self.unique else ''}index {self.name} on {self.table}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        table = catalog.table(self.table)
        return {self.table: self._reads(table) if table else ()}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table = catalog.table(self.table)
        assert table is not None
        return list(self._objections(table, catalog))

    def _objections(self, table: Table, catalog: Catalog) -> Iterator[Finding]:
        yield from self._missing_columns(table)
        if len(self.columns) + len(self.include) > INDEX_COLUMNS_MAX:
            yield Finding(
                "C245", f"an index has at most {INDEX_COLUMNS_MAX} columns", "leave some out", path=("columns",)
            )
        for name in self._reads(table):
            column = table.column(name)
            if column is not None and column.generated == "v":
                yield Finding(
                    "C213",
                    f"{table.name}.{name} is a virtual generated column, which no index can read",
                    f"index what it is made of, as an expression: {column.default}",
                    path=("columns",),
                )
        yield from self._name_objections(table, catalog)
        if self.nulls_not_distinct and catalog.server.major < 15:
            yield Finding(
                "C103", "NULLS NOT DISTINCT needs PostgreSQL 15", "leave it out", path=("nulls_not_distinct",)
            )
        if self.unique and self.method != "btree":
            yield Finding("V148", f"a unique index cannot be of method {self.method}", "use btree", path=("method",))
        hidden = sorted(self._words() & self._later_names(table).keys())
        if hidden and self._phase is Phase.BACKFILL:
            yield Finding(
                "C233",
                f"an expression or predicate of {self.name} reads {hidden[0]}, which keeps its name while an earlier "
                f"operation changes its type: until the switch it has another name, and SQL of a plan is never "
                f"rewritten",
                "give the changed column a new name (to:), or create this index in a plan of its own",
                path=("columns",),
            )

    def _missing_columns(self, table: Table) -> Iterator[Finding]:
        named = [(("columns", number), key.column) for number, key in enumerate(self._keys())]
        named += [(("include", number), column) for number, column in enumerate(self.include)]
        for path, column in named:
            if column is not None and table.column(column) is None:
                found = objections.missing_column(table, column)
                yield Finding(found.code, found.message, found.hint, path=path)

    def _name_objections(self, table: Table, catalog: Catalog) -> Iterator[Finding]:
        index, taken = table.index(self.name), QName(self.table.schema, self.name)
        if index is not None and not index.valid:
            yield Finding(
                "C240",
                f"index {self.name} exists and is invalid: a build by somebody else failed",
                f"DROP INDEX CONCURRENTLY {taken} first",
                path=("name",),
            )
        elif index is not None or self.name in catalog.relation_names.get(self.table.schema, ()):
            yield Finding("C241", f"{taken} exists already", "choose another name", path=("name",))

    def proofs(self, catalog: Catalog) -> Iterator[Proof]:
        table = catalog.table(self.table)
        if table is None:
            return
        clone = f"pg_temp.{quote(self.table.name)}"
        yield Proof(
            sql=(proving.clone_of_shape(table), f"CREATE {self._unique}INDEX ON {clone} {self._definition({})}"),
            code="C232",
            expression=f"{self.name}: {self._definition({})}",
            path=("columns",),
            hint="expressions and predicates must be immutable; qualify what is not in pg_catalog",
        )

    def probes(self, catalog: Catalog) -> Iterator[Probe]:
        names = [key.column for key in self._keys() if key.column is not None]
        if not self.unique or len(names) < len(self.columns):
            return
        keys = ", ".join(map(quote, names))
        conditions = [f"(\n{self.where}\n)"] if self.where is not None else []
        if not self.nulls_not_distinct:
            conditions += [f"{quote(name)} IS NOT NULL" for name in names]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        yield Probe(
            sql=f"SELECT concat_ws(', ', {keys}) FROM ONLY {self.table.sql} AS {quote(self.table.name)}{where} GROUP "
            f"BY {keys} HAVING count(*) > 1 LIMIT 20",
            evaluates=self.where is not None,
            code="C242",
            message=f"rows that unique index {self.name} does not allow (equal keys)",
            hint="make them different, or delete the duplicates, first",
            path=("unique",),
        )

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table = catalog.table(self.table)
        assert table is not None
        # Behind the switch every column has its name.
        names = self._later_names(table) if self._phase is Phase.BACKFILL else {}
        return (
            IndexPart(
                table=self.table,
                name=self.name,
                unique=self.unique,
                on=f"ON {self.table.sql} {self._definition(names)}",
                columns=tuple(names.get(key.column, key.column) if key.column else None for key in self._keys()),
                uses=tuple(names.get(column, column) for column in self._reads(table)),
                partial=self.where is not None,
                title=f"Build {self._unique}index {self.name}",
                phase=self._phase,
                narrowing=""
                if self.enforce_at or not self.unique
                else "unique: a row the application writes may be refused",
                path=("unique",),
            ),
        )

    @property
    def _phase(self) -> Phase:
        return Phase.CONTRACT if self.enforce_at == "contract" else Phase.BACKFILL

    @property
    def _unique(self) -> str:
        return "UNIQUE " if self.unique else ""

    def _keys(self) -> tuple[IndexColumn, ...]:
        return tuple(IndexColumn(column=one) if isinstance(one, str) else one for one in self.columns)

    def _words(self) -> set[str]:
        """Return every word of its expressions and predicate: columns, and more."""
        texts = [key.expression for key in self._keys()] + [self.where]
        return {word for text in texts if text is not None for word in identifiers(str(text))}

    def _reads(self, table: Table) -> tuple[str, ...]:
        words = {*self.include, *(key.column for key in self._keys()), *self._words()}
        return tuple(column.name for column in table.columns if column.name in words)

    def _later_names(self, table: Table) -> dict[str, str]:
        """Return the columns that stand under another name until switch, because they change under their own."""
        return {column.name: column.until_switch for column in table.columns if column.until_switch is not None}

    def _definition(self, names: dict[str, str]) -> str:
        keys = ", ".join(key.as_sql(names) for key in self._keys())
        included = ", ".join(quote(names.get(column, column)) for column in self.include)
        include = f" INCLUDE ({included})" if included else ""
        nulls = " NULLS NOT DISTINCT" if self.nulls_not_distinct else ""
        storage = ", ".join(f"{quote(name)} = {storage_value(value)}" for name, value in self.storage.items())
        where = f" WHERE (\n{self.where}\n)" if self.where is not None else ""
        return f"USING {quote(self.method)} ({keys}){include}{nulls}{f' WITH ({storage})' if storage else ''}{where}"
