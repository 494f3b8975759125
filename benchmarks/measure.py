"""What the benchmarks share: a server with fsync on, a fresh table for every method, medians of interleaved rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from osc.pg.embedded import EmbeddedServer


@dataclass(frozen=True)
class Sample:
    """One run of one method."""

    method: str
    rows: int
    seconds: float
    wal_bytes: int
    size_before: int
    size_after: int


@contextmanager
def server(version: int = 18) -> Iterator[EmbeddedServer]:
    """Yield a private server as an operator would run it: fsync on, autovacuum on."""
    running = EmbeddedServer.start(
        version=version, settings={"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}
    )
    try:
        yield running
    finally:
        running.close()


def timed(conn: psycopg.Connection, method: str, table: str, rows: int, work: Callable[[], None]) -> Sample:
    """Run ``work`` once and return what it took; size is of the table with its indexes, in bytes."""
    before, start_lsn = _size(conn, table), _one(conn, "SELECT pg_current_wal_insert_lsn()")
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    wal = _one(conn, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", start_lsn)
    return Sample(method, rows, seconds, int(wal), before, _size(conn, table))


def medians(samples: list[Sample]) -> list[dict[str, object]]:
    """Return one JSON-ready row a method, medians over its rounds."""
    found = []
    for method in dict.fromkeys(sample.method for sample in samples):
        mine = [sample for sample in samples if sample.method == method]
        seconds = statistics.median(sample.seconds for sample in mine)
        found.append(
            {
                "method": method,
                "rows": mine[0].rows,
                "seconds": round(seconds, 3),
                "rows_per_s": round(mine[0].rows / seconds),
                "wal_bytes": round(statistics.median(sample.wal_bytes for sample in mine)),
                "size_before": round(statistics.median(sample.size_before for sample in mine)),
                "size_after": round(statistics.median(sample.size_after for sample in mine)),
            }
        )
    return found


def _size(conn: psycopg.Connection, table: str) -> int:
    return int(_one(conn, "SELECT pg_total_relation_size(%s::regclass)", table))


def _one(conn: psycopg.Connection, sql: str, *params: object) -> str:
    row = conn.execute(sql, params or None).fetchone()  # type: ignore[arg-type]  # constants of this package
    assert row is not None
    return str(row[0])
