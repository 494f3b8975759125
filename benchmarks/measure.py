"""What the benchmarks share: a server with fsync on, tables to fill, each method in a process of its own, medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from osc.pg.embedded import EmbeddedServer

INDEXED = ("a", "b", "c", "at")
"""With the key five indexes, as a table in use has."""


@dataclass(frozen=True)
class Sample:
    """One run of one method. Sizes are of the table with its indexes."""

    method: str
    rows: int
    seconds: float
    """What the rows took: of osc the fill by the server's clock, without the verification behind it."""
    whole_s: float
    """All that the method did, which osc verifies."""
    wal_bytes: int
    size_before: int
    size_after: int
    hot_share: float
    client_cpu_share: float
    peak_rss_mb: float
    outside_sql_share: float | None
    """Of osc's fill: the share of its lanes' time in which none of its statements ran."""


@contextmanager
def server(version: int = 18) -> Iterator[EmbeddedServer]:
    """Yield a private server as an operator would run it: fsync on, autovacuum on."""
    running = EmbeddedServer.start(
        version=version,
        settings={"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "fsync": "on"},
    )
    try:
        yield running
    finally:
        running.close()


def make_table(conn: psycopg.Connection, rows: int, *, key: str = "bigint", indexes: int = 5) -> None:
    """Make a fresh table ``items`` of ``rows`` rows, about 130 bytes each, with ``indexes`` indexes.

    As an application's: one column has many values in no order (a customer), one some hundreds (a product), one a few
    (a state), and one grows (a time).
    """
    conn.execute("SELECT setseed(0.5)")
    conn.execute("DROP TABLE IF EXISTS items")
    conn.execute(
        f"CREATE TABLE items (id {key} PRIMARY KEY, amount int NOT NULL, a int, b int, c int, at timestamptz, filler text)".encode()
    )
    made = "gen_random_uuid()" if key == "uuid" else "n"
    conn.execute(
        f"INSERT INTO items SELECT {made}, n % 1000, random() * 100000, random() * 1000, n % 10,"
        f" now() - n * interval '1 second', repeat('x', 60) FROM generate_series(1, {rows}) AS n".encode()
    )
    for column in INDEXED[: indexes - 1]:
        conn.execute(f"CREATE INDEX ON items ({column})".encode())
    conn.execute("VACUUM (ANALYZE) items")


def sampled(conn: psycopg.Connection, dsn: str, method: str, rows: int, arguments: Sequence[str] = ()) -> Sample:
    """Let a process of its own fill ``items`` by ``method``, and return what it took.

    Raises CalledProcessError where the method failed, AssertionError where it left a row out.
    """
    before, start_lsn = _size(conn), _one(conn, "SELECT pg_current_wal_insert_lsn()")
    command = [sys.executable, "-m", "benchmarks.methods", method, dsn, *arguments]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    wal = int(_one(conn, "SELECT pg_wal_lsn_diff(%s, %s)::bigint", told["end_lsn"], start_lsn))
    left = int(_one(conn, "SELECT count(*) FROM items WHERE total IS DISTINCT FROM amount"))
    assert left == 0, f"{method} left {left} rows out"
    conn.execute("SELECT pg_stat_force_next_flush()")
    row = conn.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'items'").fetchone()
    updated, hot = row or (0, 0)
    return Sample(
        method, rows, told["seconds"], told["whole_s"], wal, before, _size(conn), hot / max(1, updated),
        told["cpu_s"] / told["whole_s"], told["peak_rss_mb"],
        told.get("outside_sql_share"),
    )  # fmt: skip


def medians(samples: list[Sample]) -> list[dict[str, object]]:
    """Return one JSON-ready row a method, medians over its rounds."""
    found = []
    for method in dict.fromkeys(sample.method for sample in samples):
        mine = [sample for sample in samples if sample.method == method]

        def median(name: str, digits: int | None = None, mine: list[Sample] = mine) -> float:
            return round(statistics.median(getattr(sample, name) for sample in mine), digits)

        seconds = statistics.median(sample.seconds for sample in mine)
        found.append(
            {
                "method": method,
                "rows": mine[0].rows,
                "seconds": round(seconds, 3),
                "rows_per_s": round(mine[0].rows / seconds),
                "whole_s": median("whole_s", 3),
                "wal_bytes": median("wal_bytes"),
                "size_before": median("size_before"),
                "size_after": median("size_after"),
                "hot_share": median("hot_share", 3),
                "client_cpu_share": median("client_cpu_share", 3),
                "peak_rss_mb": median("peak_rss_mb", 1),
                "outside_sql_share": None if mine[0].outside_sql_share is None else median("outside_sql_share", 3),
            }
        )
    return found


def _size(conn: psycopg.Connection) -> int:
    return int(_one(conn, "SELECT pg_total_relation_size('items')"))


def _one(conn: psycopg.Connection, sql: str, *params: object) -> str:
    row = conn.execute(sql.encode(), params or None).fetchone()
    assert row is not None
    return str(row[0])
