"""drop_column: a column goes, first out of reach and then for good, while the old application still needs its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from osc.catalog import Catalog, Column, Table
from osc.catalog.effects import DropColumn as ColumnDropped
from osc.catalog.effects import RenameColumn
from osc.errors import Finding
from osc.names import QName, quote
from osc.operations import aside, departing, objections
from osc.operations.aside import Aside, Both
from osc.operations.base import Operation, missing_table
from osc.operations.expressions import Expression
from osc.operations.fields import ColumnName, Name
from osc.operations.pairing import strong
from osc.operations.parts import Ddl, DropIndexPart, Leaving, Part, Stage
from osc.program.model import Probe, Proof
from osc.program.phase import Phase


class DropColumn(Operation):
    """Drop a column."""

    kind: ClassVar[str] = "drop_column"
    summary: ClassVar[str] = (
        "Drop a column: contract renames it out of reach, which can be undone, and drops it for good after keep_for."
    )
    made_here: ClassVar[str] = "leave the operation out that makes it, or drop the column in a plan of its own"
    example: ClassVar[str] = """\
drop_column:
  table: orders
  column: legacy_code
  down: "'none'"
"""

    table: QName
    column: ColumnName
    down: Expression | None = None
    """What a row gets that the new application inserts, over that row; needed where NOT NULL stands without a default."""
    also_drop: tuple[Name, ...] = ()
    """Indexes, constraints and statistics that cover other columns as well and are to go with it, by name."""

    def describe(self) -> str:
        return f"drop {self.table}.{self.column}"

    def tables(self) -> tuple[QName, ...]:
        return (self.table,)

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        return {self.table: (self.column,)}

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        wrong = missing_table(self.table, catalog)
        if wrong is not None:
            return [wrong]
        table, column = self._found(catalog)
        if column is None:
            return [departing.system_column(table, self.column) or objections.missing_column(table, self.column)]
        return list(departing.objections(catalog, table, column, down=self.down, also_drop=self.also_drop))

    def proofs(self, catalog: Catalog) -> Iterable[Proof]:
        table, column = self._found(catalog)
        return departing.proofs(table, column, str(self.down)) if column and self.down is not None else ()

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        table, column = self._found(catalog)
        return departing.probes(table, column) if column else ()

    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        table, column = self._found(catalog)
        assert column is not None
        retired = aside.retired_name(self.table, self.column, plan_id)
        rules = Aside(table, column, retired, departing.rules(table, self.column), plan_id)
        return tuple(self._parts(rules))

    def _parts(self, rules: Aside) -> Iterator[Part]:
        yield Leaving(
            table=self.table,
            column=self.column,
            retired=rules.later,
            type=rules.column.type,
            value=str(self.down) if self.down is not None else None,
            null_is_unset=departing.null_is_unset(rules.column),
        )
        yield self._retire(rules)
        yield from aside.way_back(rules, Phase.CONTRACT, Stage.RETIRE)
        for index in rules.table.indexes:
            if self.column in index.uses and index.constraint is None:
                title = f"Drop index {index.name} of the column that goes"
                yield DropIndexPart(table=self.table, name=index.name, title=title)
        yield Ddl(
            phase=Phase.CONTRACT,
            stage=Stage.DROP,
            label=f"drop_column.{self.table.name}.{self.column}",
            title=f"Drop {self.table}.{self.column} (now {rules.later})",
            sql=(f"{rules.alter} DROP COLUMN {quote(rules.later)}",),
            undo=None,
            locks=strong(self.table),
            effects=(ColumnDropped(table=self.table, name=rules.later),),
        )

    def _retire(self, rules: Aside) -> Ddl:
        """From here on the new application alone is right, and nothing of the column may refuse what it writes."""
        both, old, later = Both(), self.column, rules.later
        aside.set_aside(rules, both)
        both.do.append(f"{rules.alter} RENAME COLUMN {quote(old)} TO {quote(later)}")
        both.undo.append(f"{rules.alter} RENAME COLUMN {quote(later)} TO {quote(old)}")
        both.effects.append(RenameColumn(table=self.table, name=old, to=later))
        both.back.append(RenameColumn(table=self.table, name=later, to=old))
        aside.restore(rules, both)
        return Ddl(
            phase=Phase.CONTRACT,
            stage=Stage.RETIRE,
            label=f"retire.{self.table.name}.{old}",
            title=f"Put {self.table}.{old} out of reach, with its rules set aside",
            sql=tuple(both.do),
            undo=tuple(both.undo),
            locks=(*rules.also_locks, *strong(self.table)),
            effects=tuple(both.effects),
            undo_effects=tuple(both.back),
            note="Its values, default and indexes stay until the drop: until then it can come back with nothing lost.",
        )

    def _found(self, catalog: Catalog) -> tuple[Table, Column | None]:
        table = catalog.table(self.table)
        assert table is not None
        return table, table.column(self.column)
