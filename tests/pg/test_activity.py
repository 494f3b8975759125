"""Who else is there: holders and waiters by mode, prepared transactions, snapshots, builds, and ends of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.names import QName
from osc.pg import activity
from osc.pg.session import Connection, backend_of
from osc.pg.session import connect as open_session
from osc.pg.target import Target
from osc.settings import DEFAULTS
from osc.sql.locks import Lock, TableLock
from tests.pg.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio

T = QName("public", "t")


def lock(mode: Lock) -> list[TableLock]:
    return [TableLock(table=T, mode=mode)]


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[Connection]:
    session = await open_session(Target.resolve(dsn), purpose="test:activity", settings=DEFAULTS)
    yield session
    await session.close()


@pytest.fixture
def other(connect: Connect) -> psycopg.Connection[tuple[object, ...]]:
    connection = connect(application_name="app\x1b[31m")
    connection.execute("CREATE TABLE t (a int)")
    return connection


@pytest.mark.both_versions
async def test_a_holder_is_named_with_all_that_is_known(
    conn: Connection, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    other.execute("BEGIN")
    other.execute("SELECT * FROM t /* \x1b[31m\n " + "x" * 999 + " */")
    (holder,) = await activity.holders(conn, lock(Lock.ACCESS_EXCLUSIVE))
    assert (holder.pid, holder.table, holder.mode) == (other.info.backend_pid, T, Lock.ACCESS_SHARE)
    assert (holder.granted, holder.state, holder.ours) == (True, "idle in transaction", False)
    assert holder.age_s is not None
    assert holder.age_s >= 0
    assert len(holder.query) == activity.QUERY_CHARS_MAX
    assert holder.query.startswith("SELECT * FROM t")
    assert (holder.query + holder.application_name).isprintable()


async def test_only_conflicting_modes_count(conn: Connection, other: psycopg.Connection[tuple[object, ...]]) -> None:
    other.execute("BEGIN; SELECT * FROM t")
    assert await activity.holders(conn, lock(Lock.SHARE_ROW_EXCLUSIVE)) == ()
    other.execute("INSERT INTO t VALUES (1)")
    (holder,) = await activity.holders(conn, lock(Lock.SHARE_ROW_EXCLUSIVE))
    assert holder.mode is Lock.ROW_EXCLUSIVE
    assert await activity.holders(conn, lock(Lock.SHARE_ROW_EXCLUSIVE), not_pids=[other.info.backend_pid]) == ()
    assert await activity.holders(conn, [TableLock(table=QName("no", "where"), mode=Lock.SHARE)]) == ()


async def test_a_prepared_transaction_holds_without_a_session(
    conn: Connection, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    other.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'left behind'")
    try:
        (holder,) = await activity.holders(conn, lock(Lock.ACCESS_EXCLUSIVE))
        (snapshot,) = await activity.snapshot_holders(conn)
    finally:
        other.execute("ROLLBACK PREPARED 'left behind'")
    assert (holder.pid, holder.state) == (None, "prepared")
    assert "left behind" in holder.query
    assert (snapshot.pid, snapshot.state) == (None, "prepared")


async def test_waiters_are_found_and_told_whom_they_wait_for(
    conn: Connection, other: psycopg.Connection[tuple[object, ...]], connect: Connect
) -> None:
    waiter = connect()
    other.execute("BEGIN; LOCK t IN ACCESS EXCLUSIVE MODE")
    waiter.pgconn.send_query(b"SELECT * FROM t")
    found = await eventually(lambda: activity.who_waits_on(conn, [other.info.backend_pid]))
    assert (found[0].pid, found[0].blocked_by) == (waiter.info.backend_pid, (other.info.backend_pid,))
    granted = {holder.pid: holder.granted for holder in await activity.holders(conn, lock(Lock.ACCESS_EXCLUSIVE))}
    assert granted == {other.info.backend_pid: True, waiter.info.backend_pid: False}
    assert await activity.who_waits_on(conn, [1]) == ()


async def test_snapshots_of_this_database_are_found_by_age(
    conn: Connection, other: psycopg.Connection[tuple[object, ...]], connect: Connect, dsn: str
) -> None:
    other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    elsewhere = connect(make_conninfo(dsn, dbname="postgres"))
    elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    assert [holder.pid for holder in await activity.snapshot_holders(conn)] == [other.info.backend_pid]
    assert await activity.snapshot_holders(conn, older_than_s=60) == ()


@pytest.mark.both_versions
async def test_a_build_shows_whom_it_waits_for(
    conn: Connection, other: psycopg.Connection[tuple[object, ...]], connect: Connect
) -> None:
    builder = connect()
    other.execute("BEGIN; INSERT INTO t VALUES (1)")
    builder.pgconn.send_query(b"CREATE INDEX CONCURRENTLY ON t (a)")
    progress = await eventually(lambda: activity.index_progress(conn, builder.info.backend_pid))
    assert progress is not None
    assert progress.command == "CREATE INDEX CONCURRENTLY"
    assert progress.current_locker_pid in (None, other.info.backend_pid)
    assert await activity.index_progress(conn, other.info.backend_pid) is None


async def test_only_this_very_session_is_ended(
    conn: Connection, dsn: str, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    victim = await open_session(Target.resolve(dsn), purpose="test:victim", settings=DEFAULTS)
    backend, mine = await backend_of(victim, deadline_s=5), await backend_of(conn, deadline_s=5)
    assert not await activity.terminate(conn, backend.pid, mine.backend_start)
    assert not await activity.backend_alive(conn, backend.pid, mine.backend_start)
    assert await activity.backend_alive(conn, backend.pid, backend.backend_start)
    assert await activity.terminate(conn, backend.pid, backend.backend_start)

    async def gone() -> bool:
        return not await activity.backend_alive(conn, backend.pid, backend.backend_start)

    assert await eventually(gone)
    await victim.close()
    assert not await activity.terminate(conn, backend.pid, backend.backend_start)


async def test_a_role_without_privileges_sees_holders_but_no_texts(
    dsn: str, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    role = f"osc_{conninfo_to_dict(dsn)['dbname']}"
    other.execute(f"CREATE ROLE {role} LOGIN")
    other.execute("BEGIN; SELECT * FROM t")
    blind = await open_session(Target.resolve(make_conninfo(dsn, user=role)), purpose="test:blind", settings=DEFAULTS)
    try:
        (holder,) = await activity.holders(blind, lock(Lock.ACCESS_EXCLUSIVE))
        start = (await backend_of(blind, deadline_s=5)).backend_start
        assert await activity.backend_alive(blind, other.info.backend_pid, start), "unknown counts as alive"
    finally:
        await blind.close()
        other.execute("ROLLBACK")
        other.execute(f"DROP ROLE {role}")
    assert (holder.pid, holder.age_s) == (other.info.backend_pid, None)
    assert holder.query == "<insufficient privilege>"
    assert not holder.is_autovacuum
