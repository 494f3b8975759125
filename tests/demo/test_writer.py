"""The applications of the demo: what they did and what failed is counted, and they leave no process behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest

from osc.demo.writer import Script, Writer

if TYPE_CHECKING:
    from pathlib import Path

    from osc.pg.embedded import EmbeddedServer
    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio


def start(server: EmbeddedServer, dsn: str, home: Path, sql: str) -> Writer:
    path = home / "app.pgbench"
    path.write_text(sql)
    return Writer(server.bin("pgbench"), dsn, Script("app", path, rate=200, clients=2), home)


async def rows_appear(connect: Connect, least: int) -> None:
    conn = connect()
    with anyio.fail_after(20):
        while conn.execute("SELECT count(*) FROM t").fetchone()[0] < least:  # type: ignore[index]  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def test_a_retired_application_has_told_every_transaction(
    server: EmbeddedServer, dsn: str, connect: Connect, tmp_path: Path
) -> None:
    connect().execute("CREATE TABLE t (a int)")
    writer = start(server, dsn, tmp_path, "INSERT INTO t VALUES (1);\n")
    await rows_appear(connect, 50)
    tally = await writer.retire()
    assert not writer.alive
    assert connect().execute("SELECT count(*) FROM t").fetchone() == (tally.transactions,)
    assert len(writer.samples) == tally.transactions
    assert (tally.failed, tally.errors) == (0, ())


async def test_a_client_that_the_server_turns_away_is_a_failed_transaction(
    server: EmbeddedServer, dsn: str, connect: Connect, tmp_path: Path
) -> None:
    connect().execute("CREATE TABLE t (a int)")
    writer = start(server, dsn, tmp_path, "INSERT INTO t VALUES (1);\n")
    await rows_appear(connect, 5)
    connect().execute("ALTER TABLE t RENAME TO gone")
    with anyio.fail_after(20):
        while writer.alive:  # noqa: ASYNC110
            await anyio.sleep(0.02)
    tally = await writer.retire()
    assert tally.failed == 2  # one for each client
    assert 'relation "t" does not exist' in tally.errors[0]
    assert connect().execute("SELECT count(*) FROM gone").fetchone() == (tally.transactions,)


async def test_a_deadlock_is_a_failed_transaction(
    server: EmbeddedServer, dsn: str, connect: Connect, tmp_path: Path
) -> None:
    connect().execute("CREATE TABLE t AS SELECT n AS a, 0 AS b FROM generate_series(0, 1) n")
    crossing = """\\set a random(0, 1)
BEGIN;
UPDATE t SET b = 1 WHERE a = :a;
SELECT pg_sleep(0.05);
UPDATE t SET b = 1 WHERE a = 1 - :a;
END;
"""
    writer = start(server, dsn, tmp_path, crossing)
    await anyio.sleep(4)
    assert (await writer.retire()).failed > 0


async def test_an_application_retired_before_it_began_has_done_nothing(
    server: EmbeddedServer, dsn: str, connect: Connect, tmp_path: Path
) -> None:
    connect().execute("CREATE TABLE t (a int)")
    tally = await start(server, dsn, tmp_path, "INSERT INTO t VALUES (1);\n").retire()
    assert connect().execute("SELECT count(*) FROM t").fetchone() == (tally.transactions,)
    assert tally.failed == 0


async def test_an_application_that_cannot_connect_has_failed(server: EmbeddedServer, tmp_path: Path) -> None:
    writer = start(server, f"{server.dsn()} dbname=nowhere", tmp_path, "SELECT 1;\n")
    with anyio.fail_after(20):
        while writer.alive:  # noqa: ASYNC110
            await anyio.sleep(0.02)
    tally = await writer.retire()
    assert tally.failed > 0
    assert "nowhere" in tally.errors[0]


async def test_a_killed_application_is_gone(server: EmbeddedServer, dsn: str, tmp_path: Path) -> None:
    writer = start(server, dsn, tmp_path, "SELECT 1;\n")
    writer.kill()
    writer.kill()
    assert not writer.alive
    with pytest.raises(ProcessLookupError):
        os.kill(writer._process.pid, 0)
