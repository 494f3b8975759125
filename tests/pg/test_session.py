"""Sessions: pinned whatever the defaults are, refused where they cannot be kept, and never waited for without end."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import Refused, Unreachable
from osc.pg.outcome import ReplyLost
from osc.pg.session import (
    Connection,
    application_name,
    backend_of,
    connect,
    deadlock_timeout_ms,
    run,
)
from osc.pg.target import Target
from osc.settings import DEFAULTS
from tests.pg.eventually import eventually
from tests.pg.middlemen import BlackHole, Pooler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from osc.pg.embedded import EmbeddedServer
    from tests.fixtures.postgres import Connect, StartServer

pytestmark = pytest.mark.anyio

HOSTILE = {
    "search_path": "evil, public",
    "row_security": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "session_replication_role": "replica",
    "synchronous_commit": "off",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "check_function_bodies": "off",
    "client_min_messages": "error",
    "statement_timeout": "77ms",
    "lock_timeout": "7ms",
    "idle_in_transaction_session_timeout": "9ms",
    "idle_session_timeout": "70ms",
    "xmloption": "document",
    "jit": "on",
}
"""Defaults that a role or a database may have, and that change what a statement means or ends it (F18, F19)."""


@asynccontextmanager
async def session(dsn: str, *, read_only: bool = False) -> AsyncIterator[Connection]:
    conn = await connect(Target.resolve(dsn), purpose="test:session", settings=DEFAULTS, read_only=read_only)
    try:
        yield conn
    finally:
        await conn.close()


async def shown(conn: Connection, name: str) -> str:
    row = await (await run(conn, f"SHOW {name}", deadline_s=5)).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.both_versions
async def test_defaults_of_role_and_database_do_not_matter(
    dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, name = connect(), conninfo_to_dict(dsn)["dbname"]
    for parameter, value in HOSTILE.items():
        admin.execute(f"ALTER DATABASE {name} SET {parameter} = {value if parameter == 'search_path' else repr(value)}")
    if admin.info.server_version >= 170_000:
        admin.execute(f"ALTER DATABASE {name} SET transaction_timeout = '80ms'")
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1 -c search_path=evil")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    async with session(dsn) as conn:
        kept = [parameter for parameter, value in HOSTILE.items() if await shown(conn, parameter) == value]
        assert kept == []
        assert await shown(conn, "search_path") == "pg_catalog"
        assert await shown(conn, "TimeZone") == "UTC"
        assert await shown(conn, "statement_timeout") == "30s"
        assert await shown(conn, "client_connection_check_interval") == "500ms"
        await run(conn, "CREATE TABLE public.written ()", deadline_s=5)


async def test_synchronous_commit_is_only_ever_raised(dsn: str, connect: Connect) -> None:
    connect().execute(f"ALTER DATABASE {conninfo_to_dict(dsn)['dbname']} SET synchronous_commit = remote_apply")
    async with session(dsn) as conn:
        assert await shown(conn, "synchronous_commit") == "remote_apply"


async def test_a_role_that_sets_another_role_is_itself_again(dsn: str, connect: Connect) -> None:
    admin, suffix = connect(), str(conninfo_to_dict(dsn)["dbname"])
    admin.execute(f"CREATE ROLE osc_{suffix} LOGIN; GRANT pg_monitor TO osc_{suffix}")
    admin.execute(f"ALTER ROLE osc_{suffix} SET role = 'pg_monitor'")
    try:
        async with session(make_conninfo(dsn, user=f"osc_{suffix}")) as conn:
            assert await shown(conn, "role") == "none"
    finally:
        admin.execute(f"DROP ROLE osc_{suffix}")


async def test_a_parameter_that_may_not_be_set_refuses_the_session(dsn: str, connect: Connect) -> None:
    admin, suffix = connect(), str(conninfo_to_dict(dsn)["dbname"])
    admin.execute(f"CREATE ROLE osc_{suffix} LOGIN")
    admin.execute(f"ALTER ROLE osc_{suffix} SET session_replication_role = 'replica'")
    try:
        with pytest.raises(Refused) as refused:
            await connect_to(make_conninfo(dsn, user=f"osc_{suffix}"))
        assert refused.value.findings[0].code == "C104"
        assert "session_replication_role" in refused.value.message
    finally:
        admin.execute(f"DROP ROLE osc_{suffix}")


async def connect_to(dsn: str, *, read_only: bool = False) -> None:
    async with session(dsn, read_only=read_only):
        pass


async def test_a_read_only_session_cannot_write(dsn: str) -> None:
    async with session(dsn, read_only=True) as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await run(conn, "CREATE TABLE public.written ()", deadline_s=5)


async def test_a_session_says_who_it_is(dsn: str, server: EmbeddedServer) -> None:
    async with session(dsn) as conn:
        backend = await backend_of(conn, deadline_s=5)
        assert backend.pid == conn.info.backend_pid
        assert await shown(conn, "application_name") == "osc:test:session"
        assert await deadlock_timeout_ms(conn, deadline_s=5) == 1_000


async def test_a_long_name_keeps_its_head_and_its_purpose() -> None:
    name = application_name("00042_" + "x" * 120 + ":lane 3")
    assert len(name) == 63 - 1
    assert name.startswith("osc:00042_")
    assert name.endswith(":lane 3")


async def test_a_standby_is_refused_for_writing_only(own_server: StartServer) -> None:
    primary = own_server()
    standby = primary.basebackup()
    try:
        with pytest.raises(Refused) as refused:
            await connect_to(standby.dsn())
        assert refused.value.findings[0].code == "C102"
        await connect_to(standby.dsn(), read_only=True)
    finally:
        standby.close()


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("size", [1, 2])
async def test_a_pooler_in_transaction_mode_is_refused_and_left_clean(
    dsn: str, server: EmbeddedServer, size: int, newest_first: bool
) -> None:
    direct = make_conninfo(dsn, host="127.0.0.1")
    async with Pooler(direct, size=size, per_transaction=True, newest_first=newest_first) as pooler:
        with pytest.raises(Refused) as refused:
            await connect_to(pooler.dsn)
        assert refused.value.findings[0].code == "C101"
        async with await psycopg.AsyncConnection.connect(pooler.dsn, autocommit=True) as stranger:
            row = await (await stranger.execute("SHOW search_path")).fetchone()
            assert row == ('"$user", public',)


async def test_a_pooler_in_session_mode_is_fine(dsn: str) -> None:
    direct = make_conninfo(dsn, host="127.0.0.1")
    async with Pooler(direct, size=3, per_transaction=False, newest_first=False) as pooler:
        await connect_to(pooler.dsn)


async def test_a_lost_reply_ends_at_the_deadline_and_closes_the_connection(dsn: str, connect: Connect) -> None:
    async with BlackHole(make_conninfo(dsn, host="127.0.0.1")) as line, session(line.dsn) as conn:
        line.swallow = True
        begun = time.monotonic()
        with pytest.raises(ReplyLost):
            await run(conn, "SELECT pg_sleep(60)", deadline_s=0.3)
        assert time.monotonic() - begun < 5
        assert conn.closed
    await until_gone(connect)


async def test_a_cancelled_caller_leaves_a_usable_session_and_no_statement(dsn: str) -> None:
    async with session(dsn) as conn:
        with anyio.move_on_after(0.2):
            await run(conn, "SELECT pg_sleep(60)", deadline_s=30)
        assert not conn.closed
        assert await (await run(conn, "SELECT 1", deadline_s=5)).fetchone() == (1,)


async def test_a_cancelled_caller_does_not_wait_for_a_dead_line(dsn: str, connect: Connect) -> None:
    async with BlackHole(make_conninfo(dsn, host="127.0.0.1")) as line, session(line.dsn) as conn:
        line.swallow = True
        begun = time.monotonic()
        with anyio.move_on_after(0.1):
            await run(conn, "SELECT pg_sleep(60)", deadline_s=30)
        assert time.monotonic() - begun < 8
        assert conn.closed
    await until_gone(connect)


async def until_gone(connect: Connect) -> None:
    """Wait until no session of ours runs a statement any more: client_connection_check_interval ends orphans."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%sleep(60)'"
    watcher = connect()

    async def gone() -> bool:
        return watcher.execute(query + " AND pid <> pg_backend_pid()").fetchone() == (0,)

    assert await eventually(gone)


async def test_no_secret_and_a_reason_when_nobody_answers(dsn: str) -> None:
    wrong = make_conninfo(dsn, host="127.0.0.1", port="1", password="s3cr3tWord")
    with pytest.raises(Unreachable) as refused:
        await connect_to(wrong)
    assert refused.value.facts["reason"] == "nothing listens there"
    assert "s3cr3tWord" not in str(refused.value.as_json())
    assert refused.value.__cause__ is None


async def test_what_the_server_says_is_passed_on(dsn: str) -> None:
    with pytest.raises(Unreachable, match='database "nowhere" does not exist'):
        await connect_to(make_conninfo(dsn, dbname="nowhere"))


async def test_a_silent_server_is_given_up(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with BlackHole(make_conninfo(dsn, host="127.0.0.1")) as line:
        line.swallow = True
        hasty = replace(DEFAULTS, connect_timeout_s=2, reply_grace_s=0.5)
        with pytest.raises(Unreachable, match="no answer in time"):
            await connect(Target.resolve(line.dsn), purpose="test", settings=hasty)
