"""Each signal by itself: what it sees of a real server, and on a made-up clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.executor.throttle.replicas import GONE_S, Replicas
from osc.executor.throttle.sessions import Sessions
from osc.executor.throttle.signal import Reading, size
from osc.executor.throttle.slots import Slots
from osc.executor.throttle.wal_rate import WalRate
from osc.pg.embedded import EmbeddedServer
from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def observer(dsn: str) -> AsyncIterator[Connection]:
    conn = await connect(Target.resolve(dsn), purpose="test:observer", settings=DEFAULTS)
    yield conn
    await close(conn)


@contextmanager
def slot(server: EmbeddedServer, name: str = "nobody") -> Iterator[psycopg.Connection[Any]]:
    """Keep a physical slot that holds back the log from now on, and that nobody reads."""
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
        try:
            yield conn
        finally:
            conn.execute("SELECT pg_drop_replication_slot(%s)", [name])


async def _kept(observer: Connection) -> Reading:
    (found,) = [one for one in await Slots().read(observer, 2e6, 0) if one.reason.startswith("slot nobody, ")]
    return found


async def test_a_slot_is_measured_by_what_it_keeps(server: EmbeddedServer, observer: Connection) -> None:
    with slot(server) as conn:
        before = await _kept(observer)
        conn.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 3000000))")
        found = await _kept(observer)
        # A slot begins at the last checkpoint, so that only the difference is ours: 3 MB of 2 MB.
        assert 1.4 < found.utilisation - before.utilisation < 20
        assert found.reason.startswith("slot nobody, which nobody reads, keeps ")
        assert found.reason.endswith(" of WAL > 2 MB")


async def test_a_standby_that_has_a_slot_and_is_not_there_is_unknown(
    server: EmbeddedServer, observer: Connection
) -> None:
    with slot(server):
        wanted = Reading(1.0, "the lag of a replica is unknown: nobody is connected to its slot nobody")
        assert wanted in await Replicas().read(observer, 1000, 0)


async def test_sessions_of_others_are_counted_when_they_work(dsn: str, observer: Connection) -> None:
    (before,) = await Sessions().read(observer, 1000, 0)
    with closing(psycopg.connect(dsn, application_name="app")) as conn:
        conn.execute("BEGIN")
        (idle,) = await Sessions().read(observer, 1000, 0)
        pgconn = conn.pgconn
        pgconn.send_query(b"SELECT pg_sleep(5)")
        (busy,) = await Sessions().read(observer, 1000, 0)
    assert round((busy.utilisation - before.utilisation) * 1000) == 1
    assert idle == before


async def test_who_may_not_see_other_sessions_does_not_take_them_for_idle(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS short_sighted")
        admin.execute("CREATE ROLE short_sighted LOGIN")
        conn = await connect(
            Target.resolve(psycopg.conninfo.make_conninfo(dsn, user="short_sighted")), purpose="x", settings=DEFAULTS
        )
        try:
            (found,) = await Sessions().read(conn, 1000, 0)
        finally:
            await close(conn)
            admin.execute("DROP ROLE short_sighted")
    assert found.utilisation == 1.0
    assert "GRANT pg_monitor" in found.reason


def test_what_is_not_replayed_is_as_old_as_the_first_look_that_saw_it_written() -> None:
    replicas = Replicas()
    replicas._written.extend([(10.0, 100), (11.0, 200), (12.0, 300)])
    assert replicas.lag_s(12.0, 300, 300, 7.0) == 0  # all is replayed, whatever was said of the last position
    assert replicas.lag_s(12.0, 300, 250, None) == 0  # written since the look before this one
    assert replicas.lag_s(12.5, 300, 150, None) == 1.5
    assert replicas.lag_s(12.5, 300, 150, 600.0) == 600  # behind since long before this run


async def test_a_replica_that_was_there_is_missed_for_some_minutes(observer: Connection) -> None:
    replicas = Replicas()
    replicas._seen["standby-1"] = 0.0
    wanted = Reading(1.0, "the lag of a replica is unknown: standby-1 is not connected since 5 s")
    assert wanted in await replicas.read(observer, 1000, 5.0)
    assert not [one for one in await replicas.read(observer, 1000, GONE_S + 1) if "standby-1" in one.reason]


@given(st.integers(1, 4 * 10**7), st.floats(0.2, 2))
def test_on_the_whole_no_more_wal_is_written_than_the_limit_says(burst: int, batch_s: float) -> None:
    """A made-up fill writes a burst a batch whenever it may."""
    signal, limit, now_s, written, began = WalRate(), 10_000_000, 0.0, 0, 0.0
    signal.rate(now_s, written, limit)
    for _ in range(40):
        now_s, written = now_s + batch_s, written + burst
        while any(one.utilisation >= 1 for one in signal.rate(now_s, written, limit)):
            now_s += 1.0
    assert written - burst <= limit * (now_s - began) * 1.01


def test_sizes_are_told_as_people_write_them() -> None:
    assert [size(n) for n in (500, 20_000, 3_100_000, 64 << 30)] == ["0.5 kB", "20 kB", "3.1 MB", "68.7 GB"]
