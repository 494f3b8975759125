"""A fill walked by hand: the statements of a compiled program on sessions of the test's own, one call one batch.

Apart from osc's own lanes, because these stories are about what two transactions do to each other: the test says who
runs when, and a lock says when the other is there.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import RawCursor

from osc.compiler import compile_plan
from osc.compiler.compile import tables_of
from osc.executor.backfill.session import prepare
from osc.pg.catalog import read_catalog
from osc.plan import open_text
from osc.program import DdlStep, FillStep, Phase, VerifyStep
from osc.settings import DEFAULTS
from osc.sql.batch import PLAIN_COLUMNS
from osc.state.schema import ensure_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from osc.program import Program
    from tests.fixtures.postgres import Connect

Key = list[str]
WAIT_S = 10.0
AS_OSC = "-c search_path=pg_catalog -c row_security=off -c TimeZone=UTC -c DateStyle=ISO,YMD -c IntervalStyle=postgres"
"""What osc's sessions are told (osc.pg.pins), as far as the meaning of a statement depends on it."""

TENFOLD = """
- change_column:
    table: items
    column: v
    to: w
    type: bigint
    up: v::bigint * 10
    down: (w / 10)::int
"""
"""In step is ``w = v * 10``: a value made from another version of the row is seen at once."""


@dataclass(frozen=True)
class Reply:
    """The row that a batch or a revisit returns."""

    cursor: Key | None
    finished: bool
    rows: int
    filled: int
    skipped: int


class Begun:
    """A change whose triggers are live, at the beginning of its fills: the very statements of its program, run by hand."""

    def __init__(self, dsn: str, operations: str) -> None:
        self.program = asyncio.run(_compiled(dsn, operations))
        self.conn = psycopg.connect(dsn, autocommit=True, options=AS_OSC)
        for phase in (Phase.EXPAND, Phase.DUAL_WRITE):
            for step in self.program.phase(phase).steps:
                assert isinstance(step, DdlStep)
                with self.conn.transaction():
                    for statement in step.sql:
                        self.conn.execute(statement.encode())

    @property
    def fills(self) -> list[FillStep]:
        return [step for step in self.program.phase(Phase.BACKFILL).steps if isinstance(step, FillStep)]

    @property
    def verifications(self) -> list[VerifyStep]:
        return [step for step in self.program.phase(Phase.BACKFILL).steps if isinstance(step, VerifyStep)]


async def _compiled(dsn: str, operations: str) -> Program:
    """Compile the plan, and make schema osc."""
    plan = open_text(f"osc: 1\ntitle: T\nowner: team\noperations:{operations}", "00001_change.yaml").plan
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, options=AS_OSC) as conn:
        await ensure_schema(conn)
        program, _ = compile_plan(plan, await read_catalog(conn, tables_of(plan)))
    return program


def session_settings(step: FillStep, deadlock_timeout_ms: int = 1000) -> str:
    """Return what osc tells a session before it fills."""
    told: list[str] = []

    async def execute(sql: str, _params: object) -> None:
        told.append(sql)

    lead: Any = SimpleNamespace(settings=DEFAULTS, deadlock_timeout_ms=deadlock_timeout_ms)
    conn: Any = SimpleNamespace(execute=execute)
    asyncio.run(prepare(lead, step, conn))
    return ";".join(told)


@dataclass
class Lane:
    """One walker. ``seq`` and ``cursor`` are those of the slice row after the last reply; the test may lie about them."""

    fill: Fill
    conn: psycopg.Connection[Any]
    epoch: int = 1
    seq: int = 0
    cursor: Key | None = None
    hi: Key | None = None
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def batch(self, limit: int = 100, sql: str | None = None) -> Reply | None:
        """Do one batch of the plain kind, or of ``sql``."""
        row = self._row(sql or self.fill.step.batch, limit, self.cursor, self.hi, 0)
        if row is None:
            return None
        self.cursor, self.seq = row[0], self.seq + 1
        return Reply(*row[:PLAIN_COLUMNS])

    def skipping(self, limit: int = 100) -> Reply | None:
        """Do one batch that waits for no row."""
        return self.batch(limit, self.fill.step.skipping)

    def revisit(self, lo: Key | None, hi: Key | None, note: int = 0) -> tuple[int, int] | None:
        """Visit a window again; return how many rows were filled, and how many were still locked."""
        row = self._row(self.fill.step.revisit, 0, lo, hi, note)
        if row is None:
            return None
        self.seq += 1
        return row[0], row[1]

    def begin(self, do: Callable[[], Any]) -> Future[Any]:
        """Do it in a thread of this lane, so that it can wait for a lock."""
        return self.pool.submit(do)

    def _row(self, sql: str, limit: int, lo: Key | None, hi: Key | None, *extra: object) -> Any:
        params = [lo, hi, limit, self.fill.slice, self.epoch, self.seq, *extra]
        return RawCursor(self.conn).execute(sql, params).fetchone()


class Fill:
    """A change whose triggers are live, at the beginning of its fill, with one slice over the whole table."""

    def __init__(self, dsn: str, connect: Connect, operations: str = TENFOLD) -> None:
        self.dsn, self.connect, self.lanes = dsn, connect, list[Lane]()
        begun = Begun(dsn, operations)
        (self.step,), (self.verify,), self.conn = begun.fills, begun.verifications, begun.conn
        self.number = self.value(
            "INSERT INTO osc.change (id, plan, plan_hash, program, program_hash, tables)"
            " VALUES ('00001_change', '', 'h', '{}', 'h', ARRAY['public.items']) RETURNING change"
        )
        self.slice = self.value(
            "INSERT INTO osc.slice (change, step, epoch) VALUES (%s, %s, 1) RETURNING slice", self.number, self.step.id
        )

    def again(self) -> Fill:
        """Begin anew: no row is filled, the slice is untouched."""
        with self.conn.transaction():
            self.conn.execute("SET LOCAL osc.writer = 'backfill'")
            self.conn.execute("UPDATE public.items SET w = NULL")
            self.conn.execute("UPDATE osc.slice SET cursor = NULL, seq = 0, epoch = 1, finished = false")
        return self

    def lane(self, *, hurried: bool = False, epoch: int = 1) -> Lane:
        """Return a lane on a session of its own; ``hurried`` has the timeouts that osc sets."""
        conn = self.connect(self.dsn, options=f"{AS_OSC} -c deadlock_timeout=1s" if hurried else AS_OSC)
        conn.execute(session_settings(self.step).encode())
        if not hurried:
            conn.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        self.lanes.append(Lane(self, conn, epoch))
        return self.lanes[-1]

    def app(self) -> psycopg.Connection[Any]:
        """Return a session of the application, in autocommit."""
        return self.connect(self.dsn)

    def value(self, sql: str, *params: object) -> Any:
        """Return the one value that a statement returns."""
        ((value,),) = self.conn.execute(sql.encode(), params).fetchall()
        return value

    def rows(self, sql: str = "SELECT id, v, w FROM public.items ORDER BY id") -> list[Any]:
        """Return what a query returns."""
        return self.conn.execute(sql.encode()).fetchall()

    def unfilled(self) -> list[int]:
        """Return the keys whose value is still missing."""
        return [row[0] for row in self.rows("SELECT id FROM public.items WHERE w IS NULL ORDER BY id")]

    def out_of_step(self) -> list[Key]:
        """Return the keys that verification finds."""
        rows = RawCursor(self.conn).execute(self.verify.sample, [None, 10_000, None, 10_000]).fetchall()
        return [row[0] for row in rows]

    def saved(self) -> tuple[Key | None, int]:
        """Return cursor and seq of the slice row."""
        ((cursor, seq),) = self.conn.execute("SELECT cursor, seq FROM osc.slice WHERE slice = %s", [self.slice])
        return cursor, seq

    def notes(self) -> list[Any]:
        """Return the windows that wait for another visit: id, lo, hi, rows."""
        return self.rows("SELECT skipped, lo, hi, rows FROM osc.skipped ORDER BY skipped")

    def take_over(self, conn: psycopg.Connection[Any]) -> None:
        """Claim the slice for another lane, as osc.state.slices.claim does."""
        conn.execute("UPDATE osc.slice SET epoch = epoch + 1 WHERE slice = %s", [self.slice])

    def await_blocked(self, conn: psycopg.Connection[Any]) -> None:
        """Return once ``conn`` waits for a lock that somebody else holds."""
        pid, end = conn.info.backend_pid, time.monotonic() + WAIT_S
        while not self.value("SELECT cardinality(pg_blocking_pids(%s)) > 0", pid):
            assert time.monotonic() < end, "nobody blocks it"
            time.sleep(0.005)

    def close(self) -> None:
        """End every lane, also one that still waits, and close the session of the change."""
        for lane in self.lanes:
            if not lane.conn.closed:
                self.conn.execute("SELECT pg_terminate_backend(%s)", [lane.conn.info.backend_pid])
            lane.pool.shutdown()
        self.conn.close()
