"""Whatever a table is keyed by: pages cut it into pieces without gap or overlap, and each is found by the key's index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import RawCursor

from osc.executor.backfill.session import WALK_THE_KEY
from osc.program import FillStep
from osc.sql import batch
from osc.sql.pages import ByKey
from tests.filling.walk import AS_OSC, Begun, session_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osc.program.steps import Step
    from tests.filling.conftest import Items
    from tests.filling.walk import Fill
    from tests.fixtures.postgres import Connect

KEYS = {
    "two": ("a int, b text, PRIMARY KEY (a, b)", "SELECT n % 3, 'b' || n % 7 FROM generate_series(1, 21) AS n"),
    "three": (
        "a text, b int, c date, PRIMARY KEY (a, b, c)",
        "SELECT 'a' || n % 2, -(n % 3), date '2020-01-01' + n % 5 FROM generate_series(1, 30) AS n",
    ),
    "four": (
        "a int, b int, c int, d int, PRIMARY KEY (a, b, c, d)",
        (
            "SELECT a, b, c, d FROM generate_series(-1, 1) AS a, generate_series(0, 1) AS b, generate_series(0, 1) AS c,"
            " generate_series(-1, 1) AS d"
        ),
    ),
    "negative": (
        "k bigint PRIMARY KEY",
        "SELECT n FROM generate_series(-9, 9) AS n UNION ALL VALUES (-(2^63)), (2^62)",
    ),
    "text": (
        "k text PRIMARY KEY",
        (
            "SELECT chr(n) FROM generate_series(32, 126) AS n UNION ALL VALUES (''), ('NULL'), ('{a,\"b\"}'), ('ä'), ('a b'),"
            " (E'back\\\\slash'), (E'two\\nlines'), ('ß'), ('ss'), ('Z1'), ('z10')"
        ),
    ),
    "collated": (
        'k text COLLATE "C" PRIMARY KEY',
        "SELECT chr(n) || 'x' FROM generate_series(33, 126) AS n UNION ALL VALUES ('a'), ('A'), ('á'), ('b'), ('B')",
    ),
    "padded": ("k char(5) PRIMARY KEY", "VALUES ('a'), ('a b'), (''), ('b'), ('A'), ('ab'), ('abcde')"),
    "uuid": ("k uuid PRIMARY KEY", "SELECT md5(n::text)::uuid FROM generate_series(1, 40) AS n"),
    "moment": (
        "k timestamptz PRIMARY KEY",
        (
            "SELECT timestamptz '2024-03-31 01:59:59.999990+01' + n * interval '1 microsecond' FROM generate_series(1, 30) AS n"
            " UNION ALL VALUES (timestamptz 'infinity'), ('-infinity'), ('0044-03-15 12:00:00.000001+00 BC'), ('4713-01-01 BC'),"
            " ('99999-12-31 23:59:59.999999+00')"
        ),
    ),
    "numeric": (
        "k numeric PRIMARY KEY",
        "VALUES ('NaN'::numeric), ('Infinity'), ('-Infinity'), (0.10), (1.000), (1.0001), (-1e-30), (1e40), (2.50), (-3)",
    ),
    "float": (
        "k float8 PRIMARY KEY",
        "SELECT n / 10.0 FROM generate_series(1, 30) AS n UNION ALL VALUES (float8 'NaN'), (1e-300)",
    ),
    "real": ("k real PRIMARY KEY", "SELECT (n / 10.0)::real FROM generate_series(1, 30) AS n"),
    "bytes": (
        "k bytea PRIMARY KEY",
        (
            r"SELECT decode(lpad(to_hex(n * 5), 2, '0'), 'hex') FROM generate_series(0, 51) AS n"
            r" UNION ALL VALUES (''::bytea), ('\x0000'), ('\x5c5c27'), ('\xff00')"
        ),
    ),
    "enum": ("k mood PRIMARY KEY", "SELECT unnest(enum_range(NULL::mood))"),
    "span": ("k interval PRIMARY KEY", "SELECT n * interval '-1 day 1 second' FROM generate_series(-9, 9) AS n"),
    "down": ("k int NOT NULL", "SELECT n FROM generate_series(-9, 9) AS n"),
}
"""Table name: its key columns, and the keys of its rows."""

INTO_BIGINT = """
- change_column:
    table: {table}
    column: v
    to: w
    type: bigint
    up: v::bigint * 10
    down: (w / 10)::int
"""
LIMITS = (1, 3, 7)


@pytest.fixture
def every_key(dsn: str, connect: Connect) -> Any:
    """Give one change of tables of every key, at the beginning of its fills."""
    conn = connect()
    conn.execute("CREATE TYPE mood AS ENUM ('zeal', 'calm', 'anger', 'joy', 'with space')")
    for table, (columns, rows) in KEYS.items():
        conn.execute(f"CREATE TABLE {table} ({columns}, v int DEFAULT 7)".encode())
        conn.execute(f"INSERT INTO {table} {rows}".encode())
    conn.execute("CREATE UNIQUE INDEX ON down (k DESC)")
    change = Begun(dsn, "".join(INTO_BIGINT.format(table=table) for table in KEYS))
    yield change
    change.conn.close()


def walked(change: Begun, step: FillStep, limit: int) -> tuple[list[int], bool]:
    """Fill the table in pages of ``limit``; return the rows filled by each and whether rows and cursor ended as they should."""
    ((end,),) = RawCursor(change.conn).execute(step.end).fetchall()
    ((number,),) = change.conn.execute(
        "INSERT INTO osc.slice (change, step, epoch, hi) VALUES (0, 'walk', 1, %s) RETURNING slice", [end]
    ).fetchall()
    pages, cursor, finished = [], None, False
    while not finished and len(pages) < 200:
        params: Sequence[Any] = [cursor, end, limit, number, 1, len(pages), 0]
        ((cursor, finished, rows, filled, *_),) = RawCursor(change.conn).execute(step.batch, params).fetchall()
        assert rows == filled, (step.table, cursor)
        pages.append(filled)
    return pages, cursor == end


def test_pages_of_any_key_cut_the_table_without_gap_or_overlap(every_key: Begun) -> None:
    change = every_key
    change.conn.execute("SET osc.writer = 'backfill'")
    for step in change.fills:
        table = step.table.name
        ((total,),) = change.conn.execute(f"SELECT count(*) FROM public.{table}".encode())
        for limit in LIMITS:
            change.conn.execute(f"UPDATE public.{table} SET w = NULL".encode())
            full, rest = divmod(total, limit)
            assert walked(change, step, limit) == ([limit] * full + [rest], True), (table, limit)
            ((left,),) = change.conn.execute(f"SELECT count(*) FROM public.{table} WHERE w IS NULL".encode())
            assert left == 0, table


def test_pages_of_verification_see_every_row_once(every_key: Begun) -> None:
    change = every_key
    for step in change.verifications:
        ((total,),) = change.conn.execute(f"SELECT count(*) FROM public.{step.table.name}".encode())
        seen, last, page = 0, None, 3
        while page == 3 and seen <= total:
            ((page, mismatches, last),) = RawCursor(change.conn).execute(step.count, [last, 3, None]).fetchall()
            assert mismatches == page, step.table
            seen += page
        assert seen == total, step.table


# ------------------------------------------------------------------------------------------------ plans


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plan's nodes."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def explained(fill: Fill, step: Step, sql: str, params: list[Any], table: str) -> list[dict[str, Any]]:
    """Return the nodes that read ``table`` in the plan of a session prepared for the fill."""
    conn = fill.connect(fill.dsn, options=AS_OSC)
    conn.execute((session_settings(step) if isinstance(step, FillStep) else WALK_THE_KEY).encode())
    # Prepared, as psycopg does after five uses: the parameters are not part of the text.
    cursor = RawCursor(conn)
    ((found,),) = cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params).fetchall()
    plan = found if isinstance(found, list) else json.loads(found)
    return [
        node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == table and "Scan" in node["Node Type"]
    ]


BIG = {
    "id bigint PRIMARY KEY": ("SELECT n, n FROM generate_series(1, 100000) AS n", ["70000"], ["70500"]),
    "a int, b text, PRIMARY KEY (a, b)": (
        "SELECT n / 100, 'b' || n % 100, n FROM generate_series(1, 100000) AS n",
        ["700", "b5"],
        ["705", "b5"],
    ),
}


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
@pytest.mark.parametrize("key", BIG)
def test_every_statement_finds_its_window_by_the_index(
    items: Items, begin: Any, connect: Connect, key: str, analyzed: bool
) -> None:
    rows, lo, hi = BIG[key]
    conn = connect()
    conn.execute(f"CREATE TABLE items ({key}, v int) WITH (autovacuum_enabled = off)".encode())
    conn.execute(f"INSERT INTO items {rows}".encode())
    if analyzed:
        conn.execute("ANALYZE items")
    fill = begin()
    step, verify = fill.step, fill.verify
    window = [lo, None, 500, fill.slice, 1, 0, 0]
    statements = [
        (step, step.batch, window),
        (step, step.skipping, window),
        (step, step.revisit, [lo, hi, 0, fill.slice, 1, 0, 0]),
        (step, step.pass_over, [lo, None, 1, fill.slice, 1, 0, "22003", "out of range"]),
        (step, batch.unfilled(ByKey(step.table, step.key), step.columns), [lo, hi]),
        (step, step.end, []),
        (verify, verify.count, [lo, 500, hi]),
        (verify, verify.sample, [lo, 500, hi, 10]),
        (verify, verify.next_key, [lo, hi]),
    ]
    for of, sql, params in statements:
        scans = explained(fill, of, sql, params, "items")
        assert scans, sql
        for scan in scans:
            assert scan["Node Type"] in ("Index Scan", "Index Only Scan"), (scan, sql)
            assert "Index Cond" in scan or sql == step.end, (scan, sql)
