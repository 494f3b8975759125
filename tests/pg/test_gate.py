"""The lock gate on a real server: it never queues behind a long holder, never gives up, and never overstays."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.clock import SystemClock
from osc.errors import LeaseLost, StepFailed
from osc.names import QName
from osc.pg.gate import LockGate, LockWait
from osc.pg.session import Connection, run
from osc.pg.session import connect as open_session
from osc.pg.target import Target
from osc.settings import DEFAULTS, Settings
from osc.sql.locks import Assertion, Lock, TableLock
from osc.sql.message import transaction_message
from tests.pg.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.fixtures.postgres import Connect, StartServer

pytestmark = pytest.mark.anyio

T, U = QName("public", "t"), QName("public", "u")
ON_T = TableLock(table=T, mode=Lock.ACCESS_EXCLUSIVE)
ON_U = TableLock(table=U, mode=Lock.ACCESS_EXCLUSIVE)
ADD = "ALTER TABLE public.t ADD b int"
HASTY = replace(DEFAULTS, lock_retry_pause_max_s=0.3, long_holder_poll_max_s=0.2, poll_s=0.05)
WATCH = "SELECT count(*) FROM pg_locks WHERE relation = 'public.t'::regclass AND mode = 'AccessExclusiveLock'"


@dataclass
class Passage:
    """One passage through a gate, with what it reported and how often it asked the server for the lock."""

    conn: Connection
    observer: Connection
    settings: Settings = HASTY
    waits: list[LockWait] = field(default_factory=list)
    messages: int = 0
    stop: Exception | None = None

    async def run(
        self,
        *sql: str,
        locks: Sequence[TableLock] = (ON_T,),
        fence: str = "",
        assertions: Sequence[Assertion] = (),
    ) -> None:
        def message(lock_timeout_ms: int, yield_first_ms: int | None) -> str:
            self.messages += 1
            return transaction_message(
                locks=locks,
                sql=sql,
                fence=fence,
                assertions=assertions,
                lock_timeout_ms=lock_timeout_ms,
                yield_first_ms=yield_first_ms,
            )

        await LockGate(self.settings, SystemClock(), 1_000).run(
            self.conn,
            locks=locks,
            message=message,
            observer_conn=self.observer,
            on_wait=self.on_wait,
            may_go_on=self.may_go_on,
        )

    async def on_wait(self, wait: LockWait) -> None:
        self.waits.append(wait)

    async def may_go_on(self) -> None:
        if self.stop:
            raise self.stop

    async def until_waiting(self, reason: str) -> LockWait:
        async def reported() -> list[LockWait]:
            return [wait for wait in self.waits if wait.reason == reason]

        return (await eventually(reported, within_s=10))[-1]

    async def has_column(self) -> bool:
        query = "SELECT FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'b'"
        return await (await run(self.observer, query, deadline_s=5)).fetchone() is not None


async def open_passage(dsn: str, settings: Settings = HASTY) -> Passage:
    conn, observer = [
        await open_session(Target.resolve(dsn), purpose=f"test:{name}", settings=settings)
        for name in ("gate", "observer")
    ]
    return Passage(conn, observer, settings)


@pytest.fixture
async def passage(dsn: str, connect: Connect) -> AsyncIterator[Passage]:
    connect().execute(
        "CREATE TABLE t (a int); CREATE TABLE u (a int); INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)"
    )
    opened = await open_passage(dsn)
    yield opened
    await opened.conn.close()
    await opened.observer.close()


@pytest.mark.both_versions
async def test_nobody_in_the_way_is_one_attempt_and_leaves_the_session_as_it_was(passage: Passage) -> None:
    await passage.run(ADD)
    assert await passage.has_column()
    assert (passage.messages, passage.waits) == (1, [])
    row = await (await run(passage.conn, "SHOW statement_timeout", deadline_s=5)).fetchone()
    assert row == ("30s",)


@pytest.mark.both_versions
async def test_a_long_idle_transaction_is_never_queued_behind(passage: Passage, connect: Connect) -> None:
    holder, reader = connect(), connect()
    holder.execute("BEGIN; SELECT * FROM t")
    await anyio.sleep(HASTY.long_holder_s + 0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(passage.run, ADD)
        wait = await passage.until_waiting("long_holder")
        assert [blocker.pid for blocker in wait.blockers] == [holder.info.backend_pid]
        for _ in range(50):
            assert reader.execute(WATCH).fetchone() == (0,)
        assert passage.messages == 0
        holder.execute("COMMIT")
    assert await passage.has_column()


async def test_behind_a_young_transaction_it_asks_briefly_and_then_waits(passage: Passage, connect: Connect) -> None:
    holder = connect()
    holder.execute("BEGIN; SELECT * FROM t")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(passage.run, ADD)
        first = await passage.until_waiting("lock_timeout")
        assert [blocker.pid for blocker in first.blockers] == [holder.info.backend_pid]
        assert first.attempts == 1
        await passage.until_waiting("long_holder")
        asked = passage.messages
        await anyio.sleep(0.5)
        assert passage.messages == asked
        holder.execute("COMMIT")
    assert await passage.has_column()


async def test_a_manual_vacuum_like_holder_is_waited_for_without_queueing(passage: Passage, connect: Connect) -> None:
    holder = connect()
    holder.execute("BEGIN; LOCK t IN SHARE UPDATE EXCLUSIVE MODE")
    await anyio.sleep(HASTY.long_holder_s + 0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(passage.run, ADD)
        await passage.until_waiting("long_holder")
        assert passage.messages == 0
        holder.execute("COMMIT")
    assert await passage.has_column()


async def test_without_privileges_ages_are_measured_by_watching(passage: Passage, connect: Connect, dsn: str) -> None:
    holder, role = connect(), f"osc_{conninfo_to_dict(dsn)['dbname']}"
    holder.execute(f"CREATE ROLE {role} LOGIN; ALTER TABLE t OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    holder.execute("BEGIN; SELECT * FROM t")
    blind = await open_passage(make_conninfo(dsn, user=role))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(blind.run, ADD)
            await blind.until_waiting("long_holder")
            holder.execute("COMMIT")
    finally:
        await blind.conn.close()
        await blind.observer.close()
        holder.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")
    assert blind.waits[0].reason == "lock_timeout"
    assert await passage.has_column()


async def test_waiting_ends_when_it_may_not_go_on(passage: Passage, connect: Connect) -> None:
    holder = connect()
    holder.execute("BEGIN; SELECT * FROM t")
    async with anyio.create_task_group() as tasks:

        async def expect_stop() -> None:
            with pytest.raises(LeaseLost):
                await passage.run(ADD)

        tasks.start_soon(expect_stop)
        await passage.until_waiting("long_holder")
        passage.stop = LeaseLost("another executor leads")
    assert not await passage.has_column()


async def test_statements_that_overstay_under_the_lock_fail_the_step(passage: Passage) -> None:
    passage.settings = replace(HASTY, strong_hold_max_ms=50, strong_overruns_max=3)
    with pytest.raises(StepFailed) as failed:
        await passage.run(ADD, "SELECT pg_catalog.pg_sleep(60)")
    assert passage.messages == 3
    assert failed.value.facts["attempts"] == 3
    assert not await passage.has_column()


@pytest.mark.parametrize(
    ("fence", "assertions", "sqlstate"),
    [
        ("RAISE EXCEPTION USING ERRCODE = 'OSC01'", (), "OSC01"),
        ("", [Assertion(condition="false", message="no")], "OSC03"),
    ],
)
async def test_fence_and_assertions_reach_the_caller_and_the_session_lives_on(
    passage: Passage, fence: str, assertions: list[Assertion], sqlstate: str
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        await passage.run(ADD, fence=fence, assertions=assertions)
    assert refused.value.sqlstate == sqlstate
    assert not await passage.has_column()
    await passage.run(ADD)
    assert await passage.has_column()


async def test_the_application_is_never_the_victim_of_a_deadlock_with_two_locks(passage: Passage, dsn: str) -> None:
    """The application holds u and then wants t; we hold t and want u. We must let go first."""
    async with await psycopg.AsyncConnection.connect(dsn) as app, anyio.create_task_group() as tasks:
        await app.execute("UPDATE u SET a = 2")
        tasks.start_soon(passage.run, ADD, "ALTER TABLE public.u ADD b int")

        async def locked() -> bool:
            cursor = await run(passage.observer, f"{WATCH} AND granted", deadline_s=5)
            return await cursor.fetchone() != (0,)

        assert await eventually(locked)
        await app.execute("UPDATE t SET a = 2")
        await app.commit()
    assert await passage.has_column()


async def test_a_spent_budget_is_waited_out(passage: Passage, connect: Connect) -> None:
    """With room for one attempt in any three seconds, the second comes three seconds after the first."""
    passage.settings = replace(
        HASTY, lock_budget_ms=100, lock_budget_window_s=1.5, long_holder_s=60.0, lock_retry_pause_max_s=0.01
    )
    holder = connect()
    holder.execute("BEGIN; SELECT * FROM t")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(passage.run, ADD)
        await passage.until_waiting("budget")
        assert passage.messages == 1
        holder.execute("COMMIT")
        await anyio.sleep(0.5)
        assert passage.messages == 1
    assert passage.messages == 2
    assert await passage.has_column()


async def test_a_real_autovacuum_gives_way(own_server: StartServer) -> None:
    """Many small attempts would never make it yield; queueing in SHARE UPDATE EXCLUSIVE first does (rationale 19)."""
    server = own_server(
        autovacuum_naptime="1",
        autovacuum_vacuum_cost_delay="100",
        autovacuum_vacuum_cost_limit="1",
        autovacuum_vacuum_threshold="50",
        autovacuum_vacuum_scale_factor="0",
        autovacuum_vacuum_insert_threshold="-1",
    )
    with psycopg.connect(server.dsn(), autocommit=True) as setup:
        setup.execute("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100000)")
        setup.execute("UPDATE t SET a = a + 1")
        vacuums = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 't'::regclass"

        async def vacuuming() -> bool:
            return setup.execute(vacuums).fetchone() != (0,)

        assert await eventually(vacuuming, within_s=60)
        passage = await open_passage(server.dsn())
        try:
            with anyio.fail_after(20):
                await passage.run(ADD)
            assert await passage.has_column()
            assert {wait.reason for wait in passage.waits} <= {"lock_timeout"}
            assert passage.messages <= 3
        finally:
            await passage.conn.close()
            await passage.observer.close()


CHILD = r"""
import os, signal, sys, psycopg
conn = psycopg.connect(sys.argv[1], autocommit=True)
conn.execute("SET statement_timeout = '1100ms'")
conn.pgconn.send_query(sys.argv[2].encode())
while conn.pgconn.flush():
    pass
os.write(1, b"sent\n")
os.kill(os.getpid(), signal.SIGSTOP)
"""


async def test_a_stopped_client_leaves_no_strong_lock(passage: Passage, dsn: str, connect: Connect) -> None:
    text = transaction_message(locks=[ON_T], sql=[ADD], fence="", lock_timeout_ms=100)
    async with await anyio.open_process([sys.executable, "-c", CHILD, dsn, text]) as child:
        assert child.stdout is not None
        assert await child.stdout.receive() == b"sent\n"
        try:
            assert await eventually(passage.has_column)
            assert connect().execute(WATCH).fetchone() == (0,)
            assert connect().execute("SELECT count(*) FROM t").fetchone() == (1,)
        finally:
            child.kill()
