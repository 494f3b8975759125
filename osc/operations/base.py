"""What an operation is: a frozen value that answers pure questions about itself and a Catalog.

Adding a kind of operation is adding one file to this package: a class derived from Operation with a ``kind``. It
does no I/O and knows no other operation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from osc.catalog import Catalog, Table
from osc.errors import Finding
from osc.names import QName
from osc.operations.parts import Part, final_shape
from osc.program.model import Probe, Proof


class Operation(BaseModel):
    """One entry of a plan's ``operations``. The YAML key is ``kind``; the fields are the keys below it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    """One line for the reference: what it does."""

    made_here: ClassVar[str] = ""
    """For a kind that works on a column as it is: what to do instead where an earlier operation makes that column."""

    proven_on_later_shape: ClassVar[bool] = False
    """Whether its proofs are about the shape that earlier operations leave, not about the rows as they are."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line for people: ``change users.is_verified to verified_at timestamptz``."""

    @abstractmethod
    def tables(self) -> tuple[QName, ...]:
        """Return the tables it changes."""

    def columns_named(self) -> dict[QName, tuple[str, ...]]:
        """Return, per table, the columns it reads or writes by name (expressions are added by the compiler)."""
        return {}

    def types_named(self) -> tuple[str, ...]:
        """Return the types that it names, as written; the Catalog then tells what the server makes of them."""
        return ()

    def columns_read_now(self, catalog: Catalog) -> dict[QName, tuple[str, ...]]:
        """Return, per table, the columns that its probes read; where one is yet to be made, nothing is probed."""
        return dict.fromkeys(self.tables(), ())

    def objections(self, catalog: Catalog) -> Iterable[Finding]:
        """Yield what in ``catalog`` forbids it, each naming the object and the remedy; paths start at its fields."""
        return ()

    def proofs(self, catalog: Catalog) -> Iterable[Proof]:
        """Yield the expressions that must be proven on the server; paths start at its fields."""
        return ()

    def probes(self, catalog: Catalog) -> Iterable[Probe]:
        """Yield read-only queries whose rows say no; paths start at its fields."""
        return ()

    @abstractmethod
    def parts(self, catalog: Catalog, plan_id: str) -> tuple[Part, ...]:
        """Return what is to be done, sorted by phase and stage; the compiler makes steps of it."""

    def after(self, catalog: Catalog, plan_id: str) -> Catalog:
        """Return the Catalog that a later operation of the same plan sees: the final shape, names included.

        The default folds the effects of all parts in phase order.
        """
        return final_shape(catalog, self.parts(catalog, plan_id))


def missing_table(table: QName, catalog: Catalog) -> Finding | None:
    """Return the finding for a table that is not there or is not a plain table, or ``None``."""
    found = catalog.table(table)
    if found is None:
        near = catalog.nearest.get(str(table))
        hint = (
            f"did you mean {near}?" if near else "write schema.table if it is not in public, and check the privileges"
        )
        return Finding("C201", f"table {table} does not exist", hint, path=("table",))
    wrong = _unsupported(found)
    return Finding(wrong[0], f"{table} {wrong[1]}", wrong[2], path=("table",)) if wrong else None


def _unsupported(table: Table) -> tuple[str, str, str] | None:
    kinds = {"v": "is a view", "m": "is a materialized view", "f": "is a foreign table", "S": "is a sequence",
             "t": "is a TOAST table", "c": "is a type", "i": "is an index",
             "I": "is an index"}  # fmt: skip
    if table.kind not in ("r", "p"):
        return ("C202", kinds[table.kind], "osc changes tables; name the one behind it")
    if table.name.schema in ("pg_catalog", "information_schema", "osc") or table.name.schema.startswith("pg_"):
        return ("C203", "belongs to the system or to osc itself", "osc does not change system tables")
    if table.persistence != "p":
        return (
            "C204",
            "is temporary or unlogged: its rows do not survive a crash",
            "ALTER TABLE … SET LOGGED first",
        )
    if table.partition:
        return ("C130", "is a partition", f"change {table.parents[0]}, and all of its partitions with it")
    if table.parents or (table.children and not table.is_partitioned):
        return ("C130", "takes part in inheritance", "change the table without inheritance")
    if table.extension:
        return ("C205", f"belongs to extension {table.extension}", "change it through its extension")
    if not table.may_own:
        return (
            "C301",
            f"is owned by {table.owner}, and our role is not a member of that role",
            f"GRANT {table.owner} TO the role osc connects as",
        )
    if table.row_security:
        return (
            "C132",
            "has row-level security, so osc could see only part of the rows",
            "osc cannot change it; do it by hand, or without row-level security for the time of the change",
        )
    return None
