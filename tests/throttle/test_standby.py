"""What follows the server: standbys, slots, the archive. On a server of its own with a standby."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import psycopg
import pytest

from osc.executor.throttle.archiver import Archiver
from osc.executor.throttle.replicas import Chosen, ReplicaBytes, Replicas
from osc.executor.throttle.slots import Slots
from osc.pg.embedded import EmbeddedServer
from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS
from osc.verbs.apply import apply
from osc.verbs.session import Session
from osc.verbs.set_knob import set_knob
from osc.verbs.status import status
from tests.fixtures.postgres import start_server
from tests.throttle.test_signals import short_sighted, slot, soon
from tests.throttle.test_throttle import ID, SEEN, WAITING, table, until

pytestmark = pytest.mark.anyio
SETTINGS = {"archive_mode": "on", "archive_command": "false", "max_slot_wal_keep_size": "48MB"}


@pytest.fixture(scope="module")
def primary() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Give a server that archives in vain, and its streaming standby."""
    with start_server(18, SETTINGS) as server, server.basebackup() as standby:
        yield server, standby


@pytest.fixture
async def observer(primary: tuple[EmbeddedServer, EmbeddedServer]) -> AsyncIterator[Connection]:
    conn = await connect(Target.resolve(primary[0].dsn()), purpose="test:observer", settings=DEFAULTS)
    yield conn
    await close(conn)


async def test_standbys_are_watched_in_bytes_by_name_and_by_default(
    primary: tuple[EmbeddedServer, EmbeddedServer], observer: Connection
) -> None:
    server, standby = primary
    with (
        psycopg.connect(server.dsn(), autocommit=True) as conn,
        psycopg.connect(standby.dsn(), autocommit=True) as replay,
    ):
        name = await until(server.dsn(), "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'")
        replay.execute("SELECT pg_wal_replay_pause()")
        try:
            conn.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 3000000))")
            found = await soon(ReplicaBytes(), observer, 2e6, 1.0)
            assert found.reason.startswith("replica lag 3")
            assert found.reason.endswith(f" MB of WAL > 2 MB ({name})")
            others = Replicas(lambda: Chosen(exclude=(f"{name[:3]}*",)))
            assert await others.read(observer, 1, 0) == []
            wanted = Replicas(lambda: Chosen(include=(name, "dr-*")))
            assert (await wanted.read(observer, None, 0))[-1].reason.endswith("unknown: dr-* is not connected")
            default = Replicas()
            assert [one.utilisation < 1 for one in await default.read(observer, None, 0.0)] == [True]
            assert [one.utilisation > 1 for one in await default.read(observer, None, 11.0)] == [True]
        finally:
            replay.execute("SELECT pg_wal_replay_resume()")


async def test_a_role_that_may_not_see_standbys_is_told_the_grant(
    primary: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    async with short_sighted(primary[0].dsn()) as blind:
        (found,) = await Replicas().read(blind, None, 0)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await Archiver().read(blind, None, 0)
    assert (found.utilisation, found.known) == (1.0, False)
    assert "GRANT pg_monitor" in found.reason


async def test_a_slot_is_kept_from_losing_what_it_needs(
    primary: tuple[EmbeddedServer, EmbeddedServer], observer: Connection
) -> None:
    with slot(primary[0]) as conn:
        (before,) = await Slots().read(observer, None, 0)
        assert before.utilisation < 1
        for _ in range(3):
            conn.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 14000000))")
        (found,) = await Slots().read(observer, None, 0)
        assert found.utilisation >= 1.0
        assert "80% of what it may keep (max_slot_wal_keep_size)" in found.reason
        for _ in range(3):
            conn.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 14000000))")
        (lost,) = await Slots().read(observer, 1e15, 0)
        assert (
            lost.reason == "slot nobody, which nobody reads, is about to lose WAL that it needs (wal_status unreserved)"
        )


async def test_what_waits_to_be_archived_is_counted(
    primary: tuple[EmbeddedServer, EmbeddedServer], observer: Connection
) -> None:
    with psycopg.connect(primary[0].dsn(), autocommit=True) as conn:
        for _ in range(2):
            conn.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
            conn.execute("SELECT pg_switch_wal()")
        found = await soon(Archiver(), observer, 1, 2.0)
        assert found.reason.partition(" ")[2] == "WAL segments wait to be archived > 1; the last try failed"
        assert (await Archiver().read(observer, None, 0))[0].utilisation < 1


async def test_a_standby_that_stands_still_stops_the_fill_until_it_goes_on(
    primary: tuple[EmbeddedServer, EmbeddedServer], tmp_path: Path
) -> None:
    server, standby = primary
    dsn = server.dsn()
    plan = table(dsn, tmp_path, "max_replica_lag: 1s, batch_target: 10ms, speed: 2%", 60_000)
    session = Session(Target.resolve(dsn))
    with psycopg.connect(standby.dsn(), autocommit=True) as replay:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: apply(session, plan))
            await until(dsn, SEEN)
            replay.execute("SELECT pg_wal_replay_pause()")
            (reason,) = await until(dsn, WAITING)
            assert reason.startswith("replica lag ")
            assert " > 1 s (" in reason
            assert reason in (await status(session, ID)).changes[0].waiting
            seen = await until(dsn, SEEN)
            await set_knob(session, ID, "speed", "100%")
            await anyio.sleep(2.5)
            assert await until(dsn, SEEN) == seen
            replay.execute("SELECT pg_wal_replay_resume()")
    assert await until(dsn, "SELECT state = 'backfilled' FROM osc.change")
    assert await until(dsn, "SELECT count(*) = 60000 FROM items WHERE total = amount")
