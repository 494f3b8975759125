"""A change taken through its phases by hand: the very statements of its program, without an executor.

Apart from the executor's tests, because what a trigger or a batch does is a promise of its SQL alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import RawCursor

from osc.errors import Refused
from osc.plan import open_text
from osc.program import DdlStep, FillStep, IndexStep, Phase, SwitchStep, ValidateStep, VerifyStep
from osc.settings import DEFAULTS
from osc.state.schema import ensure_schema
from osc.verbs.compiling import compile_source, probe, prove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osc.program import Program, Step

AS_OSC = "-c search_path=pg_catalog -c row_security=off -c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres"
"""What osc's sessions are told (osc.pg.pins), as far as the meaning of a statement depends on it."""

Key = list[str]


def plan_of(operations: str, rest: str = "") -> str:
    """Return the text of a plan whose operations are ``operations`` (YAML), with gates that its rules may ask for."""
    indented = "\n".join(f"  {line}" for line in operations.strip("\n").split("\n"))
    return (
        f"osc: 1\ntitle: T\nowner: team\noperations:\n{indented}\n"
        f"{rest or 'backfill: {require: [{ack: writers-comply}]}'}\nswitch: {{require: [{{ack: app}}]}}\n"
    )


async def compiled(dsn: str, text: str) -> Program:
    """Compile a plan's text against the database and prove its expressions; raises what an author would see."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=AS_OSC) as conn:
        found = await compile_source(conn, open_text(text, "00001_change.yaml"))
        _, findings = await prove(conn, found, DEFAULTS)
        findings = findings or await probe(conn, found, DEFAULTS, proven=True)
        errors = [one for one in findings if one.severity == "error"]
        if errors:
            raise Refused("\n".join(one.message for one in errors), findings=errors)
        return found.program


def make_state(dsn: str) -> None:
    """Give the database osc's own schema."""

    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=AS_OSC) as conn:
            await ensure_schema(conn)

    asyncio.run(make())


class ByHand:
    """One change. Each method does what one phase does, in the transactions in which the executor would."""

    def __init__(self, dsn: str, operations: str, rest: str = "") -> None:
        self.dsn = dsn
        self.program = asyncio.run(compiled(dsn, plan_of(operations, rest)))
        self.conn = psycopg.connect(dsn, autocommit=True, options=AS_OSC)
        self._verify: Sequence[VerifyStep] = self.steps(Phase.BACKFILL, VerifyStep)

    def steps(self, phase: Phase, *kinds: type[Any]) -> list[Any]:
        """Return the steps of ``phase``, of these kinds only if any are given."""
        return [step for step in self.program.phase(phase).steps if not kinds or isinstance(step, kinds)]

    def expand(self) -> ByHand:
        """Add the new columns."""
        return self._do(self.steps(Phase.EXPAND, DdlStep))

    def dual_write(self) -> ByHand:
        """Add the triggers."""
        return self._do(self.steps(Phase.DUAL_WRITE, DdlStep))

    def fill(self, limit: int = 1000) -> ByHand:
        """Fill every table in batches of ``limit`` rows."""
        make_state(self.dsn)
        for step in self.steps(Phase.BACKFILL, FillStep):
            self._fill(step, limit)
        return self

    def finish(self) -> ByHand:
        """Build indexes and constraints, as backfill does behind the fill."""
        for step in self.steps(Phase.BACKFILL):
            match step:
                case IndexStep():
                    self.conn.execute(step.create_sql(step.name))
                case ValidateStep():
                    self.conn.execute(step.sql)
                case DdlStep():
                    self._do([step])
        return self

    def switch(self) -> ByHand:
        """Make the new columns the truth; what the step asserts is asserted here, too."""
        self._do(self.steps(Phase.SWITCH, SwitchStep, DdlStep))
        self._verify = self.steps(Phase.CONTRACT, VerifyStep)
        return self

    def switch_back(self) -> ByHand:
        """Undo the switch."""
        for step in reversed(self.steps(Phase.SWITCH, SwitchStep, DdlStep)):
            self._run(step.undo or ())
        self._verify = self.steps(Phase.BACKFILL, VerifyStep)
        return self

    def retire(self) -> ByHand:
        """Put the old columns out of reach."""
        return self._do([step for step in self.steps(Phase.CONTRACT, DdlStep) if ".retire." in step.id])

    def out_of_step(self) -> list[Key]:
        """Return the keys that the verification of the phase at hand finds out of step."""
        found: list[Key] = []
        for step in self._verify:
            found += [row[0] for row in self._raw(step.sample, [None, 10_000, None, 10_000])]
            ((rows, mismatches, _),) = self._raw(step.count, [None, 10_000, None])
            assert mismatches == len(found), (rows, mismatches, found)
        return found

    def close(self) -> None:
        """Close the session."""
        self.conn.close()

    def _do(self, steps: Sequence[Step]) -> ByHand:
        for step in steps:
            for assertion in step.assertions:  # type: ignore[union-attr]
                ((holds,),) = self.conn.execute(f"SELECT ({assertion.condition})").fetchall()
                assert holds, assertion.message
            self._run(step.sql)  # type: ignore[union-attr]
        return self

    def _run(self, statements: Sequence[str]) -> None:
        with self.conn.transaction():
            for statement in statements:
                self.conn.execute(statement)

    def _fill(self, step: FillStep, limit: int) -> None:
        ((number,),) = self.conn.execute(
            "INSERT INTO osc.slice (change, step, epoch) VALUES (0, %s, 1) RETURNING slice", [step.id]
        ).fetchall()
        with psycopg.connect(self.dsn, autocommit=True, options=f"{AS_OSC} -c osc.writer=backfill") as conn:
            if step.triggers == "skip":
                conn.execute("SET session_replication_role = replica")
            cursor, finished, seq = None, False, 0
            while not finished:
                (row,) = RawCursor(conn).execute(step.batch, [cursor, None, limit, number, 1, seq, 0]).fetchall()
                cursor, finished, seq = row[0], row[1], seq + 1

    def _raw(self, sql: str, params: list[Any]) -> list[Any]:
        return RawCursor(self.conn).execute(sql, params).fetchall()
