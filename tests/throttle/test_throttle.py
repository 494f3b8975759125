"""A fill that is held back: it rests, says for what, and goes on by itself when it may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer
from osc.pg.target import Target
from osc.verbs.apply import apply
from osc.verbs.session import Session
from osc.verbs.set_knob import set_knob
from osc.verbs.status import status
from tests.fixtures.postgres import start_server
from tests.throttle.test_signals import slot

pytestmark = pytest.mark.anyio
PLAN = """\
osc: 1
operations:
  - change_column: {{table: items, column: amount, to: total, type: bigint}}
backfill: {{{backfill}}}
"""
ID = "00001_held"


@pytest.fixture(scope="module")
def primary() -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Give a server and its streaming standby."""
    with start_server(18) as server, server.basebackup() as standby:
        yield server, standby


def table(dsn: str, place: Path, backfill: str, rows: int) -> Path:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE items AS SELECT n AS id, n AS amount FROM generate_series(1, %s) AS n", [rows])
        conn.execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    plan = place / f"{ID}.yaml"
    plan.write_text(PLAN.format(backfill=backfill))
    return plan


async def until(dsn: str, query: str, within_s: float = 60) -> Any:
    """Return the first value of ``query`` that is true."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with psycopg.connect(dsn, autocommit=True) as conn:
            try:
                row = conn.execute(query.encode()).fetchone()
            except psycopg.errors.UndefinedTable:
                row = None
        if row is not None and row[0]:
            return row[0]
        await anyio.sleep(0.05)
    raise AssertionError(f"not within {within_s:g} s: {query}")


WAITING = "SELECT detail->'reasons' FROM osc.step WHERE waiting = 'throttle'"
SEEN = "SELECT rows_seen FROM osc.slice WHERE rows_seen > 0"


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


async def test_a_limit_that_is_turned_lets_it_go_on(server: EmbeddedServer, dsn: str, tmp_path: Path) -> None:
    plan = table(dsn, tmp_path, "max_slot_wal: 1MB", 2_000)
    session = Session(Target.resolve(dsn))
    with slot(server, "held") as conn:
        conn.execute("SELECT pg_logical_emit_message(true, 'test', repeat('x', 2000000))")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: apply(session, plan))
            assert any("slot held" in reason for reason in await until(dsn, WAITING))
            assert not await rows_filled(dsn)
            await set_knob(session, ID, "max_slot_wal", "100GB", ttl=60)
    assert await rows_filled(dsn) == 2_000
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM osc.step WHERE waiting IS NOT NULL").fetchone() == (0,)


async def rows_filled(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT count(total) FROM items").fetchone()
    assert row is not None
    return int(row[0])
