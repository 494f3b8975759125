"""Values that ``=`` cannot tell apart, or cannot compare at all: they are compared by their images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin

pytestmark = pytest.mark.either_version

# (type of S, type of N, up, down, values of S one after the other: each a write that must reach N)
PAIRS = [
    ("json", "jsonb", "s::jsonb", "n::json", ['{"a": 1}', '{"a":1}', '{"a":2}', "null"]),
    ("jsonb", "json", "s::json", "n::jsonb", ['{"a": 1}', '{"a": 1.0}']),
    ("numeric", "text", "s::text", "n::numeric", ["1", "1.0", "1.00", "NaN", "0.0", "-0"]),
    ("char(5)", "text", "s::text", "n::char(5)", ["a", "a  ", "ab", ""]),
    ("point", "text", "s::text", "n::point", ["(1,2)", "(1,2.0000001)", "(0,0)"]),
    ("xml", "text", "s::text", "n::text::xml", ["<a/>", "<a></a>"]),
    ("interval", "interval", "s", "n", ["1 day", "24 hours", "1 mon", "30 days"]),
    ("double precision", "text", "s::text", "n::float8", ["0", "-0", "NaN", "1e300"]),
    ("real", "double precision", "s::float8", "n::real", ["0", "-0", "0.1"]),
    ("timetz", "timetz", "s", "n", ["10:00+00", "11:00+01"]),
    ("varbit", "text", "s::text", "n::varbit", ["101", "1010", ""]),
    ("int[]", "bigint[]", "s::bigint[]", "n::int[]", ["{1}", "[0:0]={1}", "{}"]),
    ("bytea", "text", "encode(s, 'hex')", "decode(n, 'hex')", ["\\x00", "\\x0000"]),
    ("boolean", "text", "CASE s WHEN true THEN 'y' WHEN false THEN 'n' END", "n = 'y'", ["t", "f", "t"]),
]


@pytest.mark.parametrize(("source", "target", "up", "down", "values"), PAIRS, ids=lambda one: str(one)[:18])
def test_every_write_reaches_the_other_side_byte_by_byte(
    begin: Begin, connect: Connect, source: str, target: str, up: str, down: str, values: list[str]
) -> None:
    app = connect()
    try:
        app.execute(f"CREATE TABLE t (id int PRIMARY KEY, s {source}, x int)")
        app.execute("INSERT INTO t VALUES (0, %s)", [values[0]])
    except psycopg.errors.FeatureNotSupported:
        pytest.skip(f"this server has no {source}")
    change = begin(f'- change_column: {{table: t, column: s, to: n, type: \'{target}\', up: "{up}", down: "{down}"}}')
    change.expand().dual_write().fill()
    for written in values:
        app.execute("UPDATE t SET s = %s, x = 1", [written])
        ((wanted, got),) = app.execute(f"SELECT ({up})::text, n::text FROM t").fetchall()
        assert got == wanted, written
        app.execute("UPDATE t SET x = 2")
        assert change.out_of_step() == []
    app.execute("INSERT INTO t (id, n) SELECT 1, n FROM t WHERE id = 0")
    app.execute("UPDATE t SET n = n, s = s")
    ((wanted, got),) = app.execute(f"SELECT ({down})::text, s::text FROM t WHERE id = 1").fetchall()
    assert got == wanted
    assert change.out_of_step() == []
    change.switch()
    assert change.out_of_step() == []


def test_values_that_a_nondeterministic_collation_calls_equal_are_different_values(
    begin: Begin, connect: Connect
) -> None:
    app = connect()
    try:
        app.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server is built without ICU")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s varchar(20) COLLATE ci)")
    change = begin("- change_column: {table: t, column: s, to: n, type: text}").expand().dual_write()
    app.execute("INSERT INTO t VALUES (1, 'bob')")
    app.execute("UPDATE t SET s = 'BOB'")
    assert app.execute("SELECT n FROM t").fetchall() == [("BOB",)]
    assert change.out_of_step() == []


@pytest.mark.parametrize("up", ["s || other", 'CASE WHEN other > s THEN other ELSE s END COLLATE "POSIX"', "lower(s)"])
def test_columns_with_collations_of_their_own_are_compared_all_the_same(
    begin: Begin, connect: Connect, up: str
) -> None:
    app = connect()
    app.execute('CREATE TABLE t (id int PRIMARY KEY, s text COLLATE "C", other text COLLATE "POSIX")')
    if "other > s" in up:
        up = up.replace("other > s", 'other > s COLLATE "C"')
    app.execute("INSERT INTO t VALUES (1, 'B', 'a')")
    change = begin(f"- change_column: {{table: t, column: s, to: n, type: text, up: '{up}', down: none}}")
    change.expand().dual_write().fill()
    app.execute("INSERT INTO t VALUES (2, 'A', 'b')")
    app.execute("UPDATE t SET s = 'Z'")
    app.execute("UPDATE t SET other = other")
    assert change.out_of_step() == []
