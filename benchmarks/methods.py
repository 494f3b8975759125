"""``python -m benchmarks.methods METHOD DSN``: one method fills ``items.total`` and says, as JSON, what it took.

In a process of its own, so that its CPU time and memory are its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psycopg

from osc.executor.backfill import session as lane_session
from osc.executor.backfill.statements import Row, fetch_one
from osc.pg.pipeline import Pipeline
from osc.pg.session import Connection
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.session import Session

PLAN = """\
osc: 1
operations:
  - change_column: {{table: items, column: amount, to: total, type: bigint, up: "amount::bigint", down: "total::int"}}
backfill: {pacing}
"""
OSC = {
    "osc-keyset": "{walk: keyset}",
    "osc-blocks": "{walk: blocks}",
    "osc-blocks-2": "{walk: blocks, parallel: 2}",
    "osc-auto": "{}",
}
"""What each of osc's own methods says of its backfill; ``osc-auto`` leaves all to the engine."""
BATCH = 1_000


ONE_UPDATE = "UPDATE items SET total = amount::bigint WHERE total IS NULL"


def one_update(conn: psycopg.Connection) -> None:
    """One UPDATE of the whole table."""
    conn.execute(ONE_UPDATE)


def synced_update(conn: psycopg.Connection) -> None:
    """One UPDATE of a table that has a sync trigger, as every fill beside a running application meets one; it does not fire."""
    conn.execute(
        "CREATE FUNCTION idle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER idle BEFORE UPDATE ON items FOR EACH ROW"
        " WHEN (current_setting('osc.writer', true) IS DISTINCT FROM 'backfill') EXECUTE FUNCTION idle();"
        " SET osc.writer = 'backfill'"
    )
    conn.execute(ONE_UPDATE)
    conn.execute("DROP TRIGGER idle ON items; DROP FUNCTION idle()")


def offset_loop(conn: psycopg.Connection) -> None:
    """The loop of common guides: LIMIT and OFFSET over the whole table, 1,000 rows a batch."""
    (rows,) = conn.execute("SELECT count(*) FROM items").fetchone() or (0,)
    for offset in range(0, rows, BATCH):
        conn.execute(
            "UPDATE items SET total = amount::bigint WHERE id IN (SELECT id FROM items ORDER BY id LIMIT %s OFFSET %s)",
            (BATCH, offset),
        )


def trigger_touch(conn: psycopg.Connection) -> None:
    """The shape of pgroll: a trigger computes the value, batches of 1,000 rows by key are updated to themselves."""
    add_touch(conn)
    for _ in by_key(conn, TOUCH):
        pass
    conn.execute("DROP TRIGGER touch ON items; DROP FUNCTION touch()")


def plain_keyset(conn: psycopg.Connection) -> None:
    """A loop by key, 1,000 rows and a commit a batch."""
    for _ in by_key(conn, "UPDATE items SET total = amount::bigint FROM k WHERE items.id = k.id RETURNING 1"):
        pass


TOUCH = "UPDATE items SET id = items.id FROM k WHERE items.id = k.id RETURNING 1"


def add_touch(conn: psycopg.Connection) -> None:
    """Make the trigger that computes the value of every row that is written."""
    conn.execute(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.total := NEW.amount::bigint; RETURN NEW; END$$"
    )
    conn.execute("CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION touch()")


def by_key(conn: psycopg.Connection, update: str) -> Iterator[int]:
    """Do ``update`` to the rows of ``k``, batch by batch in the order of the key; yield the rows of each after its commit."""
    last, condition = None, "true"
    while True:
        sql = (
            f"WITH k AS MATERIALIZED (SELECT id FROM items WHERE {condition} ORDER BY id LIMIT {BATCH} FOR NO KEY UPDATE),"
            f" u AS ({update}) SELECT (SELECT id FROM k ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM u)"
        )
        row = conn.execute(sql.encode(), None if last is None else (last,)).fetchone()
        assert row is not None
        if row[0] is None:
            return
        yield int(row[1])
        last, condition = row[0], "id > %s"


LOOPS: dict[str, Callable[[psycopg.Connection], None]] = {
    "one-update": one_update,
    "one-update-synced": synced_update,
    "offset-loop": offset_loop,
    "trigger-touch-1000": trigger_touch,
    "plain-keyset": plain_keyset,
}
METHODS = (*LOOPS, "osc-keyset", "osc-blocks", "osc-blocks-2", "osc-auto", "pgroll")


def available(method: str) -> bool:
    """Return whether the method can be measured here: pgroll has to be installed for it."""
    return method != "pgroll" or shutil.which("pgroll") is not None


def loop(dsn: str, method: str) -> dict[str, object]:
    """Fill by a statement or a loop over one session, and return what it took."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("ALTER TABLE items ADD COLUMN total bigint")
        cpu_s, begun = time.process_time(), time.perf_counter()
        LOOPS[method](conn)
        seconds = time.perf_counter() - begun
        return _took(dsn, seconds, seconds, time.process_time() - cpu_s)


def osc(dsn: str, pacing: str) -> dict[str, object]:
    """Bring a change through its backfill; expand and dual_write are done before the clock starts."""
    session, in_sql = Session(Target.resolve(dsn)), timed_statements()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "00001_bench.yaml"
        path.write_text(PLAN.format(pacing=pacing))
        anyio.run(_apply, session, path)
        cpu_s, begun = time.process_time(), time.perf_counter()
        anyio.run(_advance, session, path.stem)
        whole_s = time.perf_counter() - begun
        cpu_s = time.process_time() - cpu_s
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute(
            "SELECT extract(epoch FROM done_at - started_at)::float8 FROM osc.step WHERE kind = 'fill'"
        ).fetchone()
        assert row is not None
        lanes = 2 if "parallel: 2" in pacing else 1
        return {**_took(dsn, row[0], whole_s, cpu_s), "outside_sql_share": 1 - in_sql.seconds / lanes / row[0]}


@dataclass
class InSql:
    """For how long, in seconds, at least one statement of a session was with the server; summed over sessions."""

    seconds: float = 0.0
    _since: dict[int, tuple[int, float]] = field(default_factory=dict)

    def sent(self, conn: Connection) -> None:
        """One more is on its way."""
        running, since = self._since.get(id(conn), (0, 0.0))
        self._since[id(conn)] = running + 1, since if running else time.perf_counter()

    def answered(self, conn: Connection) -> None:
        """One has come back."""
        running, since = self._since[id(conn)]
        self._since[id(conn)] = running - 1, since
        if running == 1:
            self.seconds += time.perf_counter() - since


def timed_statements() -> InSql:
    """Have the time counted in which statements of the lanes run; what is left of a fill's time is osc's own."""
    in_sql, send, answer = InSql(), Pipeline.send, Pipeline.answer

    async def fetched(conn: Connection, sql: str, params: list[Any]) -> Row | None:
        in_sql.sent(conn)
        try:
            return await fetch_one(conn, sql, params)
        finally:
            in_sql.answered(conn)

    async def sent(self: Pipeline, params: Sequence[Any]) -> None:
        in_sql.sent(self.conn)
        await send(self, params)

    async def answered(self: Pipeline) -> Row | None:
        try:
            return await answer(self)
        finally:
            in_sql.answered(self.conn)

    lane_session.fetch_one = fetched  # type: ignore[attr-defined]
    Pipeline.send, Pipeline.answer = sent, answered  # type: ignore[method-assign]
    return in_sql


async def _apply(session: Session, path: Path) -> None:
    await apply(session, path, to=Phase.DUAL_WRITE)


async def _advance(session: Session, change_id: str) -> None:
    await advance(session, change_id, to=Phase.BACKFILL)


def pgroll(dsn: str) -> dict[str, object]:
    """Start and complete the same change of a column by pgroll, whose backfill is the most of it."""
    migration = {"operations": [{"alter_column": {"table": "items", "column": "amount", "type": "bigint",
                                                  "up": "amount::bigint", "down": "amount::int"}}]}  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "bench.json"
        path.write_text(json.dumps(migration))
        for prepared in (["init"], ["baseline", "before", directory, "--yes"]):
            subprocess.run(["pgroll", "--postgres-url", dsn, *prepared], check=True, capture_output=True)
        begun = time.perf_counter()
        subprocess.run(
            ["pgroll", "--postgres-url", dsn, "start", str(path), "--complete"], check=True, capture_output=True
        )
        seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with psycopg.connect(dsn, autocommit=True) as conn:
        changed = conn.execute("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attname = 'amount'").fetchone()
        assert changed == ("bigint",), "pgroll did nothing"
        conn.execute("ALTER TABLE items ADD COLUMN total bigint GENERATED ALWAYS AS (amount) VIRTUAL")
    return {**_took(dsn, seconds, seconds, used.ru_utime + used.ru_stime), "peak_rss_mb": used.ru_maxrss / 1024}


def _took(dsn: str, seconds: float, whole_s: float, cpu_s: float) -> dict[str, object]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return {
        "seconds": seconds, "whole_s": whole_s, "cpu_s": cpu_s, "end_lsn": row[0],
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def main() -> None:
    """Run one method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("dsn")
    parser.add_argument("--pacing", help="what osc's plan says under backfill, as YAML")
    options = parser.parse_args()
    if options.method in LOOPS:
        told = loop(options.dsn, options.method)
    elif options.method == "pgroll":
        told = pgroll(options.dsn)
    else:
        told = osc(options.dsn, options.pacing or OSC[options.method])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
