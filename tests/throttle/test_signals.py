"""Each signal by itself: what it sees of a real server, and on a made-up clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.executor.throttle.ages import MultixactAge, XidAge
from osc.executor.throttle.archiver import Archiver
from osc.executor.throttle.dead_rows import DeadRows
from osc.executor.throttle.disk import Disk
from osc.executor.throttle.replicas import GONE_S, Replicas
from osc.executor.throttle.sessions import LockWaiters, Sessions
from osc.executor.throttle.signal import Reading, seconds, size
from osc.executor.throttle.slots import Slots
from osc.executor.throttle.vacuum import Vacuum
from osc.executor.throttle.waiters import Waiters
from osc.executor.throttle.wal_rate import WalRate
from osc.executor.throttle.xmin import Xmin
from osc.names import QName
from osc.pg.embedded import EmbeddedServer
from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS
from tests.pg.eventually import eventually

pytestmark = pytest.mark.anyio


ITEMS = QName("public", "items")
FILL = "osc:00001_x:fill"


@asynccontextmanager
async def short_sighted(dsn: str) -> AsyncIterator[Connection]:
    """Give a session of a role that may not see what sessions of others do."""
    role = f"short_sighted_{uuid4().hex}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN")
        target = Target.resolve(psycopg.conninfo.make_conninfo(dsn, user=role))
        conn = await connect(target, purpose="x", settings=DEFAULTS)
        try:
            yield conn
        finally:
            await close(conn)
            admin.execute(f"DROP ROLE {role}")


@contextmanager
def busy(conn: psycopg.Connection[Any], sql: str) -> Iterator[None]:
    """Let ``conn`` work on ``sql`` and not come to its end."""
    conn.pgconn.send_query(sql.encode())
    try:
        yield
    finally:
        conn.cancel_safe()


async def soon(signal: Any, conn: Connection, limit: Any, wanted: float) -> Reading:
    """Return the first reading that reaches ``wanted``."""
    with anyio.fail_after(20):
        while True:
            for one in await signal.read(conn, limit, 0.0):
                if one.utilisation >= wanted:
                    return Reading(one.utilisation, one.reason)
            await anyio.sleep(0.02)


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

        async def one_more() -> bool:  # the server takes it up in a moment
            (busy,) = await Sessions().read(observer, 1000, 0)
            return round((busy.utilisation - before.utilisation) * 1000) == 1

        assert await eventually(one_more)
    assert idle == before


async def test_who_may_not_see_other_sessions_does_not_take_them_for_idle(dsn: str) -> None:
    async with short_sighted(dsn) as conn:
        (found,) = await Sessions().read(conn, 1000, 0)
        holders = await Xmin().read(conn, 1000, 0)
        (archive,) = await Archiver().read(conn, None, 0)
    assert (found.utilisation, found.known) == (1.0, False)
    assert "GRANT pg_monitor" in found.reason
    assert not all(one.known for one in holders)
    assert archive.utilisation == 0.0  # nothing is archived there, so nothing is hidden


@pytest.mark.parametrize("sees", [True, False])
async def test_whoever_waits_for_a_lock_of_the_fill_is_seen(dsn: str, observer: Connection, sees: bool) -> None:
    with (
        psycopg.connect(dsn, application_name=FILL) as fill,
        closing(psycopg.connect(dsn, application_name="app")) as app,
    ):
        fill.execute("CREATE TABLE items AS SELECT 1 AS id")
        fill.commit()
        async with short_sighted(dsn) as blind:
            conn = observer if sees else blind
            (nobody,) = await Waiters(FILL).read(conn, 10, 0)
            fill.execute("UPDATE items SET id = 2")
            with busy(app, "UPDATE items SET id = 3"):
                found = await soon(Waiters(FILL), conn, 10, 1.0)
                pid = app.info.backend_pid
                assert found.reason.startswith(f"pid {pid} (app) waits 0.0")
                assert found.reason.endswith(" s > 0.01 s for a lock of the fill")
                assert (await Waiters("osc:00002_y:fill").read(conn, 10, 0)) == [nobody]
                assert (await LockWaiters().read(conn, 1, 0))[0].reason == "1 sessions wait for a lock > 1"
                assert (await LockWaiters().read(conn, 0.5, 0))[0].utilisation >= 1.0
            fill.rollback()
    assert nobody.utilisation == 0.0


@pytest.mark.parametrize("sees", [True, False])
async def test_a_vacuum_of_a_leaf_is_seen_and_waited_for_only_if_that_is_wished(
    dsn: str, observer: Connection, sees: bool
) -> None:
    with closing(psycopg.connect(dsn, autocommit=True)) as conn:
        conn.execute("CREATE TABLE items (id int) PARTITION BY RANGE (id)")
        conn.execute("CREATE TABLE leaf PARTITION OF items DEFAULT")
        conn.execute("INSERT INTO items SELECT generate_series(1, 20000)")
        conn.execute("SET vacuum_cost_delay = 100")
        conn.execute("SET vacuum_cost_limit = 1")
        conn.execute("SET application_name = 'osc:1:vacuum'")
        async with short_sighted(dsn) as blind:
            eyes = observer if sees else blind
            with busy(conn, "VACUUM (FREEZE) leaf"):
                found = await soon(Vacuum(ITEMS), eyes, 60_000, 1.0)
                assert found.reason.startswith("a vacuum runs on public.items (pid ")
                assert [one.utilisation for one in await Vacuum(ITEMS).read(eyes, None, 0)] == [0.0]
                assert [one.utilisation for one in await Vacuum(ITEMS, "osc:1:vacuum").read(eyes, 60_000, 0)] == [0.0]
                elsewhere = Vacuum(QName("public", "others"))
                assert [one.utilisation for one in await elsewhere.read(eyes, 60_000, 0)] == [0.0]


def test_no_vacuum_is_waited_for_without_end() -> None:
    vacuum = Vacuum(ITEMS)
    looks = [(0.0, {7: False}), (59.0, {7: False}), (60.0, {7: False}), (61.0, {8: True}), (130.0, {8: True})]
    utilisations = [vacuum.rests(running, 60, at_s)[0].utilisation for at_s, running in looks]
    assert utilisations == [1.0, 1.0, 0.0, 1.0, 0.0]


async def test_dead_rows_are_a_share_of_all(dsn: str, observer: Connection) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE items (id int) WITH (autovacuum_enabled = off)")
        conn.execute("INSERT INTO items SELECT generate_series(1, 1000)")
        conn.execute("DELETE FROM items WHERE id <= 400")
        conn.execute("SELECT pg_stat_force_next_flush()")
    found = await soon(DeadRows(ITEMS), observer, 0.3, 1.0)
    assert found == Reading(0.4 / 0.3, "40.0 % of the rows of public.items are dead > 30 %")


async def test_what_keeps_dead_rows_is_named_with_its_age(dsn: str, observer: Connection) -> None:
    with psycopg.connect(dsn, application_name="report") as reader, psycopg.connect(dsn) as prepared:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM pg_class")
        prepared.execute("CREATE TABLE kept (id int)")
        prepared.execute("PREPARE TRANSACTION 'forgotten'")
        pid = reader.info.backend_pid
        try:
            reasons = [one.reason for one in await Xmin().read(observer, 1, 0) if one.utilisation >= 1.0]
        finally:
            prepared.rollback()
            prepared.autocommit = True
            prepared.execute("ROLLBACK PREPARED 'forgotten'")
    assert any(one.startswith(f"pid {pid} (report) keeps dead rows for 0.0") for one in reasons)
    assert any(one.startswith("prepared transaction 'forgotten' keeps dead rows for 0.0") for one in reasons)


def test_a_slot_holds_since_its_xmin_was_seen_first() -> None:
    xmin, looks = Xmin(), [(0.0, "7"), (10.0, "7"), (20.0, "8"), (25.0, "8")]
    assert [xmin.ages([("slot s", None, held)], at_s)["slot s"] for at_s, held in looks] == [0, 10, 0, 5]


@pytest.mark.parametrize(("signal", "default"), [(XidAge(), 900), (MultixactAge(), 1000)], ids=["xid", "multixact"])
async def test_ids_are_watched_far_from_where_autovacuum_is_an_emergency(
    observer: Connection, signal: XidAge, default: int
) -> None:
    (own,) = await signal.read(observer, None, 0)
    assert own.utilisation == 0.0
    assert own.reason.endswith(f" million old > {default} million")
    (old,) = await signal.read(observer, 0.1, 0)
    assert old.utilisation >= 1.0 or signal.what == "multixact"  # of which none may ever have been made here


async def test_free_disk_is_known_where_the_server_is_on_this_machine(
    server: EmbeddedServer, dsn: str, observer: Connection
) -> None:
    assert all(one.utilisation < 1 for one in await Disk(ITEMS).read(observer, 1e6, 0))
    full = await Disk(ITEMS).read(observer, 1e17, 0)
    assert [one.utilisation > 1 for one in full] == [True, True]
    assert all(one.reason.startswith("free disk ") and str(server.datadir) in one.reason for one in full)
    over_the_net = await connect(
        Target.resolve(psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1")), purpose="x", settings=DEFAULTS
    )
    try:
        (found,) = await Disk(ITEMS).read(over_the_net, 1e6, 0)
    finally:
        await close(over_the_net)
    assert (found.utilisation, found.known) == (1.0, False)


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


def test_times_are_told_as_people_write_them() -> None:
    assert [seconds(n) for n in (0.05, 3.14, 61, 600, 7_200, 86_400)] == [
        "0.05 s",
        "3.1 s",
        "61.0 s",
        "10 min",
        "120 min",
        "24 h",
    ]
