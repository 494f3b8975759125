"""F44, F66, F68, F78: what a writer of the application may meet while a change runs, and what it must not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from osc.program import Phase
from tests.sync.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osc.pg.embedded import EmbeddedServer
    from tests.acceptance.bench import Bench
    from tests.fixtures.postgres import Connect, Databases
    from tests.operations.lab import Lab

T = "CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL, b text);"
ROWS = "INSERT INTO t SELECT n, n, 'b' FROM generate_series(1, 60) AS n;"
CHANGE = "- change_column: {table: t, column: a, to: n, type: bigint}"


class Writer(threading.Thread):
    """Runs one transaction again and again until told to stop; keeps count, and the SQLSTATE of each error."""

    def __init__(self, dsn: str, transaction: Callable[[psycopg.Connection[Any], int], None]) -> None:
        super().__init__(daemon=True)
        self._dsn, self._transaction = dsn, transaction
        self._enough = threading.Event()
        self.done = 0
        self.errors: list[str | None] = []

    def run(self) -> None:
        """Write."""
        with psycopg.connect(self._dsn) as conn:
            while not self._enough.is_set():
                try:
                    with conn.transaction():
                        self._transaction(conn, self.done)
                except psycopg.Error as error:
                    self.errors.append(error.sqlstate)
                else:
                    self.done += 1

    def stop(self) -> None:
        """Let it end, and wait for that."""
        self._enough.set()
        self.join(20)
        assert not self.is_alive()


def isolated(level: str, low: int) -> Callable[[psycopg.Connection[Any], int], None]:
    """Return a transaction that reads, so that its snapshot is older than the write, and counts a row up."""

    def work(conn: psycopg.Connection[Any], done: int) -> None:
        conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        key = low + done * 7 % 190
        conn.execute("SELECT sum(qty) FROM items WHERE id <= 400")
        conn.execute("UPDATE items SET qty = qty + 1 WHERE id = %s", [key])

    return work


def child(conn: psycopg.Connection[Any], done: int) -> None:
    conn.execute("SET LOCAL statement_timeout = '2s'")
    conn.execute("INSERT INTO child (item) VALUES (%s)", [1 + done % 400])


@pytest.mark.anyio
async def test_a_fill_gives_isolated_writers_40001_at_most_and_child_rows_nothing(bench: Bench) -> None:
    """No deadlock with osc in it, no timeout, no lost count: a retry is all that an isolated writer may owe (I13, I14)."""
    bench.do("CREATE TABLE child (n serial PRIMARY KEY, item bigint NOT NULL REFERENCES items)")
    before = bench.value("SELECT sum(qty) FROM items")
    counting = [Writer(bench.dsn, isolated("REPEATABLE READ", 1)), Writer(bench.dsn, isolated("SERIALIZABLE", 201))]
    writers = [*counting, Writer(bench.dsn, child)]
    for one in writers:
        one.start()
    ended = bench.command("apply", "batch.before=sleep:0.1", to="switch").wait(60)
    for one in writers:
        one.stop()
    assert ended.exit_code == 0, ended
    assert all(one.done > 10 for one in writers), [one.done for one in writers]
    assert {state for one in counting for state in one.errors} <= {"40001"}
    assert writers[2].errors == []
    assert bench.value("SELECT sum(quantity) FROM items") == before + sum(one.done for one in counting)
    assert bench.value("SELECT count(*) FROM items WHERE quantity <> qty") == 0


@pytest.mark.either_version
def test_a_prepared_statement_over_every_column_fails_once_a_change_of_them_and_others_never(
    lab: Lab, connect: Connect
) -> None:
    """The declared impact (I13): 0A000 once a connection where the columns change, nothing for who names columns."""
    lab.run(T + ROWS)
    lab.write(CHANGE)
    app = connect(prepare_threshold=0)
    failed: dict[str, int] = {}
    named = (
        "SELECT id, b FROM t WHERE id = %s",
        "UPDATE t SET b = b WHERE id = %s",
        "INSERT INTO t (id, a) VALUES (%s, 1)",
    )
    app.execute("SELECT * FROM t WHERE id = %s", [1])
    for number, phase in enumerate(Phase):
        lab.apply(phase)
        failed[phase] = 0
        for _ in range(3):
            try:
                app.execute("SELECT * FROM t WHERE id = %s", [1])
            except psycopg.errors.FeatureNotSupported:
                failed[phase] += 1
                app.execute("DEALLOCATE ALL")  # psycopg would go on with the stale one for ever
        for text in named[: 2 if phase.order >= Phase.SWITCH.order else 3]:
            app.execute(text, [1 if "INSERT" not in text else 1000 + number])
    assert failed == {"expand": 1, "dual_write": 0, "backfill": 0, "switch": 0, "contract": failed["contract"]}
    assert failed["contract"] in (1, 2)  # retire renames, the drop takes away


@pytest.fixture
def publisher(server: EmbeddedServer, databases: Databases, lab: Lab) -> Iterator[psycopg.Connection[Any]]:
    """Give another database, whose table t is published to that of ``lab``."""
    name = databases.take(server)
    with psycopg.connect(server.dsn(name), autocommit=True) as conn:
        conn.execute(f"{T} {ROWS} CREATE PUBLICATION p FOR TABLE t (id, a, b)")
        conn.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"s_{name}"])
        lab.run(T)
        told = make_conninfo(server.dsn(name)).replace("'", "''")
        lab.run(
            f"CREATE SUBSCRIPTION s CONNECTION '{told}' PUBLICATION p WITH (create_slot = false, slot_name = s_{name})"
        )
        yield conn
        lab.run("ALTER SUBSCRIPTION s DISABLE")
        until(lambda: lab.value("SELECT count(*) FROM pg_stat_subscription WHERE pid IS NOT NULL") == 0)
        lab.run("ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s")
        until(lambda: conn.execute("SELECT count(*) FROM pg_replication_slots WHERE active").fetchall() == [(0,)])
        conn.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
        )
    databases.give_back(server, name)


def test_what_an_apply_worker_writes_is_in_step(lab: Lab, publisher: psycopg.Connection[Any]) -> None:
    """It writes as a replica, which ordinary triggers do not see (F44)."""
    until(lambda: lab.value("SELECT count(*) FROM t") == 60, within_s=30)
    lab.write(CHANGE)
    lab.apply(Phase.DUAL_WRITE)
    publisher.execute(
        "UPDATE t SET a = -a WHERE id <= 10; INSERT INTO t VALUES (100, 100, 'new'); DELETE FROM t WHERE id = 60"
    )
    until(lambda: lab.rows("SELECT n FROM t WHERE id = 100") == [100], within_s=30)
    assert lab.value("SELECT count(*) FROM t WHERE id <= 10 AND n = a AND a < 0") == 10
    lab.apply(Phase.SWITCH)
    publisher.execute("UPDATE t SET a = 7 WHERE id = 20")
    until(lambda: lab.value("SELECT a FROM t WHERE id = 20") == 7, within_s=30)
    assert lab.value("SELECT count(*) FROM t WHERE n = a") == 60
