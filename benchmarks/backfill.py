"""``python -m benchmarks.backfill [--rows N] [--rounds K] [--key uuid] [--indexes N] [--json]``: osc's fill beside others.

Every method fills a new bigint column from an int one on a fresh table of about 130 bytes a row, methods interleaved,
medians over the rounds. osc runs whole: lease, journal, one-statement batches, verification.
"""

from __future__ import annotations

import argparse
import json

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.measure import Sample, make_table, medians, sampled, server
from benchmarks.methods import METHODS, available

SLOW = ("offset-loop",)
"""Left out unless asked for above so many rows: its time grows with their square."""
SLOW_ROWS_MAX = 200_000


def chosen(only: list[str] | None, rows: int) -> list[str]:
    """Return the methods to measure, in their order."""
    wanted = only or [one for one in METHODS if one not in SLOW or rows <= SLOW_ROWS_MAX]
    return [one for one in METHODS if one in wanted and available(one)]


def measured(options: argparse.Namespace) -> list[Sample]:
    """Return a sample of each method and round; every one has a database of its own, so that no state is shared."""
    samples: list[Sample] = []
    with server() as running, psycopg.connect(running.dsn(), autocommit=True) as admin:
        for _ in range(options.rounds):
            for method in chosen(options.only, options.rows):
                admin.execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
                admin.execute("CREATE DATABASE bench")
                dsn = make_conninfo(running.dsn(), dbname="bench")
                with psycopg.connect(dsn, autocommit=True) as conn:
                    make_table(conn, options.rows, key=options.key, indexes=options.indexes)
                    pacing = ["--pacing", options.pacing] if options.pacing and method.startswith("osc") else []
                    samples.append(sampled(conn, dsn, method, options.rows, pacing))
    return samples


def shown(found: list[dict[str, object]]) -> str:
    """Return the medians as a table, beside one UPDATE where that was measured."""

    def number(row: dict[str, object], name: str) -> float:
        return float(str(row[name]))

    base = next((row for row in found if row["method"] == "one-update"), found[0])
    lines = [
        f"{'method':<19} {'rows/s':>8} {'speed':>6} {'WAL':>5} {'size':>5} {'HOT':>5} {'CPU':>5} {'MB':>5} {'own':>5}"
    ]
    lines.extend(
        f"{row['method']:<19} {row['rows_per_s']:>8} {number(row, 'rows_per_s') / number(base, 'rows_per_s'):6.2f}"
        f" {number(row, 'wal_bytes') / number(base, 'wal_bytes'):5.2f}"
        f" {number(row, 'size_after') / number(row, 'size_before'):5.2f} {number(row, 'hot_share'):5.2f}"
        f" {number(row, 'client_cpu_share'):5.2f} {number(row, 'peak_rss_mb'):5.0f}"
        f" {row['outside_sql_share'] or '':>5}"
        for row in found
    )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--key", choices=("bigint", "uuid"), default="bigint")
    parser.add_argument("--indexes", type=int, choices=range(1, 6), default=5)
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods; the offset loop takes minutes")
    parser.add_argument("--pacing", help="what osc's plans say under backfill instead, as YAML")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = medians(measured(options))
    print(json.dumps(found) if options.json else shown(found))


if __name__ == "__main__":
    main()
