"""A small laboratory: one database, one plan, and the verbs that move it, as a pipeline would call them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from osc.catalog.compare import Difference, compare
from osc.catalog.effects import apply_effects
from osc.errors import InvalidPlan, OscError, Refused, Severity, TryAgainLater
from osc.executor.entering import columns_by_table
from osc.pg.catalog import read_catalog
from osc.pg.target import Target
from osc.program import Phase, Program
from osc.settings import Settings
from osc.state import changes, gates
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.compiling import Compiled, compile_file
from osc.verbs.rollback import rollback
from osc.verbs.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from osc.catalog import Catalog
    from osc.names import QName

PLAN_ID = "00001_x"
QUICK = Settings(long_holder_s=0.1, lock_retry_pause_first_s=0.02, poll_s=0.05, index_poll_s=0.05, revisit_pause_s=0.05)
RETIRED = "retired"
"""Inside contract: the old objects are out of reach, and the wait before the drop has begun."""


@dataclass
class Lab:
    """The database at ``dsn`` and plans written to ``directory``."""

    dsn: str
    directory: Path
    schema_dump: Callable[[str], str]
    connection: psycopg.Connection[Any]
    plan_id: str = PLAN_ID
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = Session(Target.resolve(self.dsn), settings=QUICK, who="test")

    def run(self, sql: str) -> None:
        """Run statements of the test."""
        self.connection.execute(textwrap.dedent(sql).encode())

    def rows(self, sql: str) -> list[Any]:
        """Return what a query answers; one column as a list of values."""
        found = self.connection.execute(sql.encode()).fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def value(self, sql: str) -> Any:
        """Return the one value a query answers."""
        [value] = self.rows(sql)
        return value

    def dump(self) -> str:
        """Return the schema, without schema osc."""
        return self.schema_dump(self.dsn)

    def fingerprint(self) -> list[Any]:
        """Return what changes with any change of the schema: every relation, column and trigger with its row's xmin."""
        return self.rows(
            """SELECT c.oid, c.xmin::text,
                   (SELECT array_agg(a.attname || a.xmin::text ORDER BY a.attnum)
                    FROM pg_attribute AS a WHERE a.attrelid = c.oid),
                   (SELECT count(*) FROM pg_trigger AS g WHERE g.tgrelid = c.oid)
            FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.oid"""
        )

    def write(self, operations: str, rest: str = "") -> Path:
        """Write the plan: entries of ``operations``, and what else it says."""
        path = self.directory / f"{self.plan_id}.yaml"
        body = textwrap.indent(textwrap.dedent(operations).strip(), "  ")
        path.write_text(f"osc: 1\noperations:\n{body}\n{textwrap.dedent(rest)}")
        return path

    @property
    def plan(self) -> Path:
        return self.directory / f"{self.plan_id}.yaml"

    def apply(self, to: Phase | str) -> None:
        """Bring the plan to a phase; RETIRED stops in contract behind the last step that can be undone."""
        if to != RETIRED:
            try:
                anyio.run(partial(apply, self.session, self.plan, to=Phase(to)))
            except OscError as error:
                error.add_note("\n".join(finding.line() for finding in error.findings))
                raise
            return
        try:
            anyio.run(partial(apply, self.session, self.plan, to=Phase.CONTRACT))
        except TryAgainLater:
            return
        raise AssertionError("the plan says no keep_for")

    def back(self, to: Phase | None = None) -> None:
        """Roll back to a phase, or all of it."""
        anyio.run(partial(rollback, self.session, self.plan_id, to=to))

    def finish(self) -> None:
        """Go on from where the change is to the end."""
        anyio.run(partial(advance, self.session, self.plan_id, to=Phase.CONTRACT))

    def ack(self, *names: str) -> None:
        """Open gates."""

        async def opened() -> None:
            async with self.session.state("test:ack") as conn:
                change = await changes.find(conn, self.plan_id)
                assert change is not None
                for name in names:
                    await gates.open_gate(conn, change, name, who="test")

        anyio.run(opened)

    def compile(self) -> Compiled:
        """Compile the plan on the tables as they are."""

        async def compiled() -> Compiled:
            async with self.session.connection("test:compile") as conn:
                return await compile_file(conn, self.plan)

        return anyio.run(compiled)

    def program(self) -> Program:
        """Return the program the change was registered with."""

        async def stored() -> Program:
            async with self.session.state("test:program") as conn:
                change = await changes.find(conn, self.plan_id)
                assert change is not None
                return change.program()

        return anyio.run(stored)

    def catalog(self, tables: tuple[QName, ...]) -> Catalog:
        """Read the Catalog as it is now."""

        async def read() -> Catalog:
            async with self.session.connection("test:catalog") as conn:
                return await read_catalog(conn, tables)

        return anyio.run(read)

    def drift_behind(self, phase: Phase) -> list[str]:
        """Return in which points the tables differ from what the program expects behind ``phase``, ours or not."""
        program = self.program()
        part = program.phase(phase)
        expected = apply_effects(part.expects, tuple(effect for step in part.steps for effect in step.effects))
        return _lines(compare(expected, self.catalog(program.tables), columns=columns_by_table(program)))

    def drift_before(self, phase: Phase) -> list[str]:
        """Return the same before ``phase``, which was done and undone, by the effects of both."""
        program = self.program()
        part = program.phase(phase)
        effects = [effect for step in part.steps for effect in step.effects]
        back = [effect for step in reversed(part.steps) for effect in step.undo_effects]
        expected = apply_effects(part.expects, (*effects, *back))
        return _lines(compare(expected, self.catalog(program.tables), columns=columns_by_table(program)))

    def refusal(self) -> list[str]:
        """Apply a plan that must be refused; return its findings as lines, after seeing that nothing was changed."""
        before = self.fingerprint()
        with pytest.raises((Refused, InvalidPlan)) as raised:
            anyio.run(partial(apply, self.session, self.plan, to=Phase.EXPAND))
        assert self.fingerprint() == before
        if isinstance(raised.value, Refused):
            assert "nothing was changed" in raised.value.message
            assert self.rows("SELECT plan FROM osc.change") == []
        errors = [finding for finding in raised.value.findings if finding.severity is Severity.ERROR]
        assert all(finding.hint for finding in errors) or isinstance(raised.value, InvalidPlan)
        return [f"{finding.code} {finding.message}; {finding.hint}" for finding in errors]


def _lines(differences: tuple[Difference, ...]) -> list[str]:
    return [one.line() for one in differences if one.touches_plan]
