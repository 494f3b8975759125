"""``python -m benchmarks.backfill [--rows N] [--rounds K] [--json]``: osc's fill beside one UPDATE and two loops.

Every method fills a new bigint column from an int one on a fresh table of about 130 bytes a row with five indexes,
methods interleaved, medians over the rounds. osc runs whole: lease, journal, one-statement batches.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio
import psycopg

from benchmarks.measure import Sample, medians, server, timed
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.session import Session

PLAN = """\
osc: 1
operations:
  - change_column: {table: items, column: amount, to: total, type: bigint, up: "amount::bigint", down: "total::int"}
backfill:
  batch_target: 100ms
"""


def make_table(conn: psycopg.Connection, rows: int) -> None:
    """Make a fresh table ``items`` of ``rows`` rows with five indexes."""
    conn.execute("DROP TABLE IF EXISTS items")
    conn.execute(
        "CREATE TABLE items (id bigint PRIMARY KEY, amount int NOT NULL, a int, b int, c int, at timestamptz, filler text)"
    )
    conn.execute(
        "INSERT INTO items SELECT n, n %% 1000, n %% 97, n %% 89, n %% 83, now(), repeat('x', 60) FROM generate_series(1, %s) AS n",
        (rows,),
    )
    for column in ("a", "b", "c", "at"):
        conn.execute(f"CREATE INDEX ON items ({column})")  # type: ignore[arg-type]
    conn.execute("VACUUM ANALYZE items")


def one_update(conn: psycopg.Connection) -> None:
    """One UPDATE of the whole table."""
    conn.execute("UPDATE items SET total = amount::bigint WHERE total IS NULL")


def plain_keyset(conn: psycopg.Connection) -> None:
    """A loop by key, 1,000 rows and a commit a batch."""
    last = 0
    while True:
        row = conn.execute(
            "WITH k AS (SELECT id FROM items WHERE id > %s ORDER BY id LIMIT 1000), u AS (UPDATE items SET total = amount::bigint"
            " FROM k WHERE items.id = k.id RETURNING 1) SELECT max(id), (SELECT count(*) FROM u) FROM k",
            (last,),
        ).fetchone()
        assert row is not None
        if row[0] is None:
            return
        last = row[0]


def offset_loop(conn: psycopg.Connection) -> None:
    """The loop of common guides: LIMIT and OFFSET over the whole table, 1,000 rows a batch."""
    (rows,) = conn.execute("SELECT count(*) FROM items").fetchone() or (0,)
    for offset in range(0, rows, 1000):
        conn.execute(
            "UPDATE items SET total = amount::bigint WHERE id IN (SELECT id FROM items ORDER BY id LIMIT 1000 OFFSET %s)",
            (offset,),
        )


METHODS: dict[str, Callable[[psycopg.Connection], None]] = {
    "one-update": one_update,
    "plain-keyset": plain_keyset,
    "offset-loop": offset_loop,
}


def osc_keyset(conn: psycopg.Connection, dsn: str, rows: int, number: int) -> Sample:
    """Time the backfill phase of a change that only fills; expand and dual_write are done before the clock starts."""
    session = Session(Target.resolve(dsn))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{number:05d}_bench.yaml"
        path.write_text(PLAN)
        anyio.run(_apply, session, path)
        sample = timed(conn, "osc-keyset", "items", rows, lambda: anyio.run(_advance, session, path.stem))
        anyio.run(_rollback, session, path.stem)
    return sample


async def _apply(session: Session, path: Path) -> None:
    await apply(session, path, to=Phase.DUAL_WRITE)


async def _advance(session: Session, change_id: str) -> None:
    await advance(session, change_id, to=Phase.BACKFILL)


async def _rollback(session: Session, change_id: str) -> None:
    from osc.verbs.rollback import rollback

    await rollback(session, change_id)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--without", nargs="*", default=["offset-loop"], help="methods to leave out (the offset loop takes minutes)"
    )
    options = parser.parse_args()
    samples: list[Sample] = []
    with server() as running, psycopg.connect(running.dsn(), autocommit=True) as conn:
        for round_number in range(options.rounds):
            for method, work in METHODS.items():
                if method in options.without:
                    continue
                make_table(conn, options.rows)
                conn.execute("ALTER TABLE items ADD COLUMN total bigint")
                samples.append(timed(conn, method, "items", options.rows, lambda work=work: work(conn)))  # type: ignore[misc]
            make_table(conn, options.rows)
            samples.append(osc_keyset(conn, running.dsn(), options.rows, round_number + 1))
    found = medians(samples)
    if options.json:
        print(json.dumps(found))
        return
    base = next(row for row in found if row["method"] == "one-update")
    for row in found:
        ratio = float(str(row["rows_per_s"])) / float(str(base["rows_per_s"]))
        wal = int(str(row["wal_bytes"])) / int(str(base["wal_bytes"]))
        growth = int(str(row["size_after"])) / int(str(row["size_before"]))
        print(
            f"{row['method']:<14} {row['rows_per_s']:>9} rows/s  {ratio:5.2f} x one UPDATE   WAL {wal:4.2f}   size x {growth:4.2f}"
        )


if __name__ == "__main__":
    main()
