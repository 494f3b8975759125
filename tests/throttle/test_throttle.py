"""A fill that is held back: it rests, says for what, and goes on by itself when it may."""

from __future__ import annotations

import time
from contextlib import closing
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
from tests.throttle.test_signals import slot

pytestmark = pytest.mark.anyio
PLAN = """\
osc: 1
operations:
  - change_column: {{table: items, column: amount, to: total, type: bigint}}
backfill: {{{backfill}}}
"""
ID = "00001_held"


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
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):  # the state is being made
                row = None
        if row is not None and row[0]:
            return row[0]
        await anyio.sleep(0.05)
    raise AssertionError(f"not within {within_s:g} s: {query}")


WAITING = "SELECT detail->'reasons' FROM osc.step WHERE waiting = 'throttle'"
SEEN = "SELECT rows_seen FROM osc.slice WHERE rows_seen > 0"


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


async def test_a_sign_that_is_put_up_stops_it_and_every_reason_is_told(dsn: str, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    flag.touch()
    plan = table(dsn, tmp_path, f"pause_when: [{{file: {flag}}}, {{sql: SELECT true}}], max_xid_age: none", 500)
    session = Session(Target.resolve(dsn))
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: apply(session, plan))
        wanted = [f"pause_when: the file {flag} is there", "pause_when says so: SELECT true"]
        assert await until(dsn, WAITING) == wanted
        now = (await status(session, ID)).changes[0]
        assert now.as_json()["reasons"] == wanted
        assert now.waiting == f"held back: {'; '.join(wanted)}"
        await set_knob(session, ID, "pause_when", f"[{{file: {flag}}}]", ttl=60)
        flag.unlink()
    assert await rows_filled(dsn) == 500
    assert (await status(session, ID)).changes[0].reasons == ()


async def test_who_waits_for_a_batch_makes_the_fill_give_way(dsn: str, tmp_path: Path) -> None:
    """A session under the name of the fill's holds a lock; somebody waits for it while the fill runs."""
    plan = table(dsn, tmp_path, "speed: 5%, batch_target: 10ms", 30_000)
    session = Session(Target.resolve(dsn))
    with (
        psycopg.connect(dsn, application_name=f"osc:{ID}:fill") as holder,
        closing(psycopg.connect(dsn, application_name="app")) as app,
    ):
        holder.execute("CREATE TABLE other AS SELECT 1 AS id")
        holder.commit()
        holder.execute("UPDATE other SET id = 2")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: apply(session, plan))
            await until(dsn, SEEN)
            app.pgconn.send_query(b"UPDATE other SET id = 3")
            (reason,) = await until(dsn, WAITING)
            assert reason.startswith(f"pid {app.info.backend_pid} (app) waits ")
            await set_knob(session, ID, "speed", "100%")
            holder.rollback()
    assert await rows_filled(dsn) == 30_000
