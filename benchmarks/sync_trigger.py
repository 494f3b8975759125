"""``python -m benchmarks.sync_trigger [--rows N] [--json]``: what the sync trigger costs a written row.

Inserts and updates of one statement over N rows, without and with the trigger, interleaved, medians; the difference a
row is in microseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import anyio
import psycopg

from benchmarks.measure import server
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.apply import apply
from osc.verbs.rollback import rollback
from osc.verbs.session import Session

PLANS = {
    "int to bigint": 'type: bigint, up: "amount::bigint", down: "total::int"',
    "lower(text)": "column: name, to: slug, type: text, up: lower(name), down: slug",
}


def _plan(options: str) -> str:
    column = "" if "column:" in options else "column: amount, to: total, "
    return f"osc: 1\noperations:\n  - change_column: {{table: items, {column}{options}}}\n"


def _time(conn: psycopg.Connection, sql: str) -> float:
    begun = time.perf_counter()
    conn.execute(sql)  # type: ignore[arg-type]
    return time.perf_counter() - begun


def _measure(conn: psycopg.Connection, rows: int) -> tuple[float, float]:
    conn.execute("TRUNCATE items")
    insert = _time(conn, f"INSERT INTO items SELECT n, n % 1000, 'Name ' || n FROM generate_series(1, {rows}) AS n")
    update = _time(conn, "UPDATE items SET amount = amount + 1, name = name || 'x'")
    return insert / rows * 1e6, update / rows * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    with server() as running, psycopg.connect(running.dsn(), autocommit=True) as conn:
        session = Session(Target.resolve(running.dsn()))
        conn.execute("CREATE TABLE items (id bigint PRIMARY KEY, amount int NOT NULL, name text NOT NULL)")
        for number, (name, plan) in enumerate(PLANS.items(), 1):
            without, with_trigger = [], []
            for round_number in range(options.rounds):
                without.append(_measure(conn, options.rows))
                conn.execute("TRUNCATE items")
                with tempfile.TemporaryDirectory() as directory:
                    path = Path(directory) / f"{number:04d}{round_number}_bench.yaml"
                    path.write_text(_plan(plan))
                    anyio.run(_to_dual_write, session, path)
                    with_trigger.append(_measure(conn, options.rows))
                    anyio.run(_back, session, path.stem)
            for kind, index in (("insert", 0), ("update", 1)):
                base = statistics.median(one[index] for one in without)
                cost = statistics.median(one[index] for one in with_trigger)
                found.append(
                    {"expression": name, "statement": kind, "us_without": round(base, 2), "us_with": round(cost, 2)}
                )
    if options.json:
        print(json.dumps(found))
        return
    for row in found:
        print(
            f"{row['expression']:<14} {row['statement']:<7} {row['us_without']:6.2f} us a row, {row['us_with']:6.2f} with the trigger"
        )


async def _to_dual_write(session: Session, path: Path) -> None:
    await apply(session, path, to=Phase.DUAL_WRITE)


async def _back(session: Session, change_id: str) -> None:
    await rollback(session, change_id)


if __name__ == "__main__":
    main()
