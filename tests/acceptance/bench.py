"""A table with an application's data, a plan for it, and everything a story about a whole run wants to do or see."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from osc.pg.target import Target
from osc.program import Phase
from osc.settings import Settings
from osc.state import changes, gates, pauses
from osc.state.changes import Change
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.rollback import rollback
from osc.verbs.session import Session
from tests.acceptance.processes import QUICK, Command, Ended

ID = "00001_items"
PLAN = """\
osc: 1
title: Quantities become bigint
owner: stock-team
operations:
  - change_column:
      table: items
      column: qty
      to: quantity
      type: bigint
      up: qty::bigint
      down: quantity::int
  - create_index:
      table: items
      name: items_by_quantity
      columns: [quantity, note]
"""
UNIQUE_PLAN = PLAN.replace("columns: [quantity, note]", "columns: [quantity, note]\n      unique: true") + (
    "backfill:\n  require: [{ack: writers-comply}]\n"
)
"""The index narrows what the old application may write, so it waits for an ack."""
REMAINS = """
WITH named (kind, name, namespace) AS (
    SELECT 'relation', relname, relnamespace FROM pg_class
     UNION ALL SELECT 'function', proname, pronamespace FROM pg_proc
     UNION ALL SELECT 'type', typname, typnamespace FROM pg_type
     UNION ALL SELECT 'constraint', conname, connamespace FROM pg_constraint
     UNION ALL SELECT 'trigger', tgname, relnamespace FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid
     UNION ALL SELECT 'column', attname, relnamespace FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
                WHERE relkind NOT IN ('i', 'I')  -- PostgreSQL lets an index's column keep its name when the table's is renamed
)
SELECT kind, name::text FROM named
 WHERE name ~ '^[_~]*osc' AND namespace IS DISTINCT FROM 'osc'::regnamespace
"""
"""Whatever has a name that osc gives, in the application's schemas."""
ROWS = 400
KILLED = -9


@dataclass
class Bench:
    """One database with table ``items`` and a plan."""

    dsn: str
    place: Path
    dump_schema: Callable[[str], str]
    plan_text: str = PLAN
    settings: Settings = QUICK
    commands: list[Command] = field(default_factory=list)

    # ------------------------------------------------------------------------------ table and plan

    def fill_table(self, rows: int = ROWS) -> Bench:
        """Create the application's table, with an index, a check and NOT NULL on the column that changes."""
        self.do(
            "CREATE TABLE items (id bigint PRIMARY KEY, qty int NOT NULL CHECK (qty >= 0), note text)",
            "CREATE INDEX items_qty_idx ON items (qty)",
            f"INSERT INTO items SELECT n, n % 7, 'note ' || n FROM generate_series(1, {rows}) AS n",
        )
        return self

    @property
    def plan(self) -> Path:
        path = self.place / f"{ID}.yaml"
        if not path.exists() or path.read_text() != self.plan_text:  # a command may be reading it
            path.write_text(self.plan_text)
        return path

    # ------------------------------------------------------------------------------------ doing

    def do(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement)

    def take_the_lead(self) -> None:
        """Take the lead from whoever has it, in one transaction: its holder cannot renew it in between."""
        self.do(
            "UPDATE osc.heartbeat SET expires_at = now(); SELECT osc.take_lease(1, pg_catalog.gen_random_uuid(), 60)"
        )

    @contextmanager
    def holding(
        self, statement: str, *, isolation: str = "READ COMMITTED", application: str = "somebody"
    ) -> Iterator[psycopg.Connection[Any]]:
        """Keep a transaction open that ran ``statement``, as long as the block lasts."""
        with closing(psycopg.connect(self.dsn, application_name=application)) as conn:
            conn.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            conn.execute(statement)
            yield conn

    @contextmanager
    def nothing(self) -> Iterator[None]:
        """Hold nothing."""
        yield

    def sleep(self, seconds: float) -> None:
        """Let others go on for a moment."""
        time.sleep(seconds)

    @property
    def patient(self) -> Settings:
        """Settings of a process that queues behind transactions it would otherwise wait for."""
        return replace(self.settings, long_holder_s=3600.0)

    @property
    def impatient(self) -> Settings:
        """Settings of a process that gives a server up soon."""
        return replace(self.settings, leads_max=4)

    def command(
        self, verb: str, failpoints: str = "", *, settings: Settings | None = None, **arguments: Any
    ) -> Command:
        """Start a verb in a process of its own."""
        place = self.place / f"command-{len(self.commands)}"
        place.mkdir()
        if verb == "apply":
            arguments.setdefault("path", str(self.plan))
        elif verb != "worker":
            arguments["change_id"] = ID
        self.commands.append(Command(self.dsn, verb, place, arguments, failpoints, settings or self.settings))
        return self.commands[-1].start()

    def run(self, verb: str, failpoints: str = "", **arguments: Any) -> Ended:
        """Run a verb in a process of its own to its end."""
        return self.command(verb, failpoints, **arguments).wait()

    def killed(self, verb: str, failpoints: str, **arguments: Any) -> bool:
        """Run a verb in a process of its own and return whether a failpoint killed it; then its lease runs out."""
        ended = self.run(verb, failpoints, **arguments)
        if ended.exit_code == KILLED:
            self.lease_runs_out()
            return True
        assert ended.exit_code == 0, ended
        return False

    def lease_runs_out(self) -> None:
        """Let as much time pass for the lease of a process that is gone as it needs to run out."""
        if self.value("SELECT to_regclass('osc.heartbeat') IS NOT NULL"):
            self.do("UPDATE osc.heartbeat SET expires_at = clock_timestamp()")

    def session(self, **settings: Any) -> Session:
        """Return a session in this process."""
        return Session(Target.resolve(self.dsn), settings=replace(self.settings, **settings), who="test")

    async def apply(self, to: Phase | None = None) -> None:
        await apply(self.session(), self.plan, to=to)

    async def advance(self, to: Phase | None = None) -> None:
        await advance(self.session(), ID, to=to)

    async def ack(self, gate: str) -> None:
        async with self.session().state("test:ack") as conn:
            change = await changes.find(conn, ID)
            assert change is not None
            await gates.open_gate(conn, change, gate, who="test")

    async def pause(self, scope: str = f"change:{ID}") -> None:
        async with self.session().state("test:pause") as conn:
            await pauses.pause(conn, scope, who="test", reason="the pager rang")

    async def resume(self, scope: str = f"change:{ID}") -> None:
        async with self.session().state("test:resume") as conn:
            await pauses.resume(conn, scope, who="test")

    async def rollback(self, to: Phase | None = None) -> None:
        await rollback(self.session(), ID, to=to)

    # ------------------------------------------------------------------------------------ seeing

    def look(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            return conn.execute(query, params or None).fetchall()  # type: ignore[arg-type]

    def value(self, query: str, *params: Any) -> Any:
        """Return the first column of the first row of a query."""
        return self.look(query, *params)[0][0]

    def until_stopped(self, command: Command, within_s: float = 20.0) -> None:
        """Return once the process stands still at its failpoint."""
        if not self.stands_still(command, within_s):
            raise AssertionError(f"{command.verb} did not stop; it said {command.reports()[-3:]}")

    def stands_still(self, command: Command, within_s: float = 60.0) -> bool:
        """Wait until the process stands still at its failpoint; return False if it has ended without passing it."""
        end = time.monotonic() + within_s
        while time.monotonic() < end and command.running:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{command.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                    return True
            time.sleep(0.005)
        return False

    def fingerprint(self) -> list[tuple[Any, ...]]:
        """Return what any write of an executor would change: the journal, the history, and the rows' versions."""
        return [
            *self.look("SELECT s::text FROM osc.step AS s ORDER BY change, ordinal"),
            *self.look("SELECT l::text FROM osc.slice AS l ORDER BY 1"),
            *self.look("SELECT count(*)::text FROM osc.event"),
            *self.look("SELECT c::text FROM osc.change AS c ORDER BY 1"),
            *self.look("SELECT i.xmin::text, i::text FROM items AS i ORDER BY i.id"),
            *self.look("SELECT c.oid::text, c.relname::text FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace ORDER BY 1"),
        ]  # fmt: skip

    def rows_and_catalog(self) -> list[tuple[Any, ...]]:
        """Return what a write to the application's table would change."""
        return [
            *self.look("SELECT i.xmin::text, i::text FROM items AS i ORDER BY i.id"),
            *self.look("SELECT attname, atttypid::text FROM pg_attribute WHERE attrelid = 'items'::regclass ORDER BY attnum"),
            *self.look("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"),
        ]  # fmt: skip

    def until(self, query: str, *params: Any, within_s: float = 20.0) -> Any:
        """Return the first value of ``query`` that is true."""
        end = time.monotonic() + within_s
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            while time.monotonic() < end:
                try:
                    row = conn.execute(query, params or None).fetchone()  # type: ignore[arg-type]
                except psycopg.errors.UndefinedTable:
                    row = None  # the state is not there yet
                if row is not None and row[0]:
                    return row[0]
                time.sleep(0.01)
        raise AssertionError(f"not within {within_s:g} s: {query}")

    async def change(self) -> Change:
        async with self.session().state("test:look") as conn:
            found = await changes.find(conn, ID)
        assert found is not None
        return found

    @property
    def state(self) -> str:
        return str(self.value("SELECT state FROM osc.change ORDER BY change DESC LIMIT 1"))

    @property
    def data(self) -> list[tuple[Any, ...]]:
        return self.look("SELECT i::text FROM public.items AS i ORDER BY i.id")

    @property
    def schema(self) -> str:
        return self.dump_schema(self.dsn)

    @property
    def steps(self) -> dict[str, str]:
        """The journal: each step's state."""
        return dict(self.look("SELECT step, state FROM osc.step WHERE change = (SELECT max(change) FROM osc.change)"))  # type: ignore[arg-type]

    @property
    def problem(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.value("SELECT problem FROM osc.change ORDER BY change DESC LIMIT 1")
        return found

    def leftovers(self) -> list[tuple[Any, ...]]:
        """Return indexes under working names and invalid ones."""
        return self.look(
            "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
            " WHERE NOT i.indisvalid OR c.relname LIKE 'osc\\_ix\\_%'"
        )

    def remains(self) -> list[tuple[Any, ...]]:
        """Return what is left of osc outside of its schema, and of what it keeps for a while; nothing, once a change is over."""
        kept = [
            self.look(f"SELECT '{table}', t::text FROM osc.{table} AS t") for table in ("skipped", "poison", "kept")
        ]
        return [*self.look(REMAINS), *(row for rows in kept for row in rows)]

    def end(self) -> tuple[str, list[tuple[Any, ...]], dict[str, str], str]:
        """Return everything that two runs must agree on."""
        return self.schema, self.data, self.steps, self.state

    def close(self) -> None:
        """End what is still running, so that the database can be dropped."""
        for command in self.commands:
            if command.running:
                command.kill()
