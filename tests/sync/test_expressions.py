"""Expressions and names of every shape: the plan's text reaches the server as it was written, over the right row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin

# (up, down) over s text, other text, with N text: each must survive trigger, fill, verification and switch.
EXPRESSIONS = {
    "string over lines": ("s || '\n  two\n lines'", "left(n, -13)"),
    "comment at the end": ("lower(s) -- as the mail server does", "n -- (as is"),
    "comment inside": ("lower(s -- not ;\n)", "n /* /* nested */ ; */"),
    "percent": ("s || '%' || '%s %(x)s %%'", "left(n, -12)"),
    "quotes": ("s || 'it''s' || '\"'", "left(n, -5)"),
    "backslashes": ("s || E'\\\\\\t' || '\\'", "left(n, -3)"),
    "dollar quote": ("s || $osc$;$osc$ || $$x$$ || $sql$y$sql$", "left(n, -3)"),
    "braces and placeholders": ("s || '{value} $1 {0} :name ?'", "left(n, -22)"),
    "semicolon and keywords in a string": ("s || '; END; $$ THEN'", "left(n, -14)"),
    "qualified by the table": ("t.s || t.other", "left(t.n, -length(t.other))"),
    "other columns": ("s || other", "left(n, -length(other))"),
    "whole case": ("CASE WHEN s > '' THEN s WHEN s = '' THEN other END", "n"),
    "quoted name": ('"s" || "other"', 'left("n", -length("other"))'),
    "collation": ('lower(s COLLATE "C")', 'n COLLATE "C"'),
    "array and cast": ("(ARRAY[s, other]::text[])[1]", "n::varchar::text"),
    "function of the application": ("public.norm(s)", "n"),
    "unicode": ("s || 'ß→😀'", "left(n, -3)"),
}


@pytest.mark.parametrize("renamed", [True, False], ids=["to", "same name"])
@pytest.mark.parametrize("shape", daily(list(EXPRESSIONS), 2))
def test_an_expression_of_any_shape_means_the_same_everywhere(
    begin: Begin, connect: Connect, shape: str, renamed: bool
) -> None:
    up, down = EXPRESSIONS[shape]
    app = connect()
    app.execute("CREATE FUNCTION norm(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN lower($1)")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, other text)")
    app.execute("INSERT INTO t VALUES (1, 'Bob', 'xyz')")
    ((expected,),) = app.execute(f"SELECT {up}\n FROM t").fetchall()
    if not renamed:
        down = down.replace("t.n", "t.s").replace('"n"', '"s"').replace("(n", "(s")
        down = "s" + down[1:] if down.startswith("n") else down
    change = begin(_change(up, down, "n" if renamed else None)).expand().dual_write()
    app.execute("INSERT INTO t (id, s, other) VALUES (2, 'Bob', 'xyz')")
    change.fill()
    assert change.out_of_step() == []
    change.switch()
    assert change.out_of_step() == []
    n = "n" if renamed else "s"
    assert app.execute(f"SELECT {n} FROM t").fetchall() == [(expected,)] * 2
    app.execute(f"INSERT INTO t (id, {n}, other) VALUES (3, %s, 'xyz')", [expected])
    assert change.retire().conn.execute("SELECT count(*) FROM public.t").fetchall() == [(3,)]
    old = app.execute("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 2")
    ((s,),) = old.fetchall()
    wanted = (
        "bob"
        if shape in ("comment at the end", "comment inside", "collation", "function of the application")
        else "Bob"
    )
    assert app.execute(f"SELECT {s} FROM t WHERE id = 3").fetchall() == [(wanted,)]


def _change(up: str, down: str, to: str | None) -> str:
    return (
        f"- change_column:\n    table: t\n    column: s\n    type: varchar\n    same_name: accepted\n"
        f"    up: {json.dumps(up, ensure_ascii=False)}\n    down: {json.dumps(down)}"
        + (f"\n    to: {to}" if to else "")
    )


ODD = ["select", "new", "NEW", "old", "found", "OLD", "sqlerrm", "tg_op", "t t", 'q"q', "ünï", "a.b", "a;b", "--x", "%s",
       "$1", "{x}", "osc_failed", "result", "x" * 63, "Ω" * 31, "user", "'"]  # fmt: skip


@pytest.mark.parametrize("name", daily(list(ODD), 2))
def test_columns_and_tables_may_be_called_anything(begin: Begin, connect: Connect, name: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    def yaml(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    q, other, n = quoted(name), quoted("NEW" if name != "NEW" else "Found"), quoted(("n" + name)[:31])
    app = connect()
    app.execute(f"CREATE TABLE {q} (id int PRIMARY KEY, {q} text, {other} text)")
    app.execute(f"INSERT INTO {q} VALUES (1, 'Bob', 'x')")
    change = begin(
        f"- change_column: {{table: {yaml('public.' + q)}, column: {yaml(name)}, to: {yaml(('n' + name)[:31])}, type: text,"
        f" up: {yaml(f'{q}.{q} || {other}')}, down: {yaml(f'left({n}, -length({other}))')}}}"
    ).expand().dual_write()  # fmt: skip
    app.execute(f"INSERT INTO {q} (id, {q}, {other}) VALUES (2, 'Tom', 'y')")
    app.execute(f"INSERT INTO {q} (id, {n}, {other}) VALUES (3, 'Annz', 'z')")
    assert change.fill().out_of_step() == []
    change.finish().switch()
    app.execute(f"UPDATE {q} SET {n} = 'Jimx' WHERE id = 1")
    assert change.out_of_step() == []
    rows = app.execute(f"SELECT {q}, {n} FROM {q} ORDER BY id").fetchall()
    assert rows == [("Jim", "Jimx"), ("Tom", "Tomy"), ("Ann", "Annz")]
    change.retire()
    app.execute(f"UPDATE {q} SET {n} = 'Jill' WHERE id = 1")


@pytest.mark.either_version
@pytest.mark.parametrize("moment", ["before", "after", "retired"])
def test_several_pairs_share_one_trigger_and_do_not_disturb_each_other(
    begin: Begin, connect: Connect, moment: str
) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 1, b text DEFAULT 'B', c int, d text, x int)")
    app.execute("INSERT INTO t VALUES (1, 10, 'Ten', 100, 'd')")
    change = begin(
        "- change_column: {table: t, column: a, to: a2, type: bigint}\n"
        "- change_column: {table: t, column: b, type: text, up: lower(b), down: b, default: null}\n"
        "- change_column: {table: t, column: c, to: c2, type: text, up: 'c::text', down: 'c2::int'}\n"
        "- add_column: {table: t, column: e, type: text, up: \"d || '!'\"}\n"
    ).expand().dual_write().fill()  # fmt: skip
    assert app.execute("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass").fetchall() == [(1,)]
    if moment != "before":
        change.finish().switch()
    if moment == "retired":
        change.retire()
    b = "b" if moment != "before" else "osc_new_b"
    app.execute("INSERT INTO t (id, a2, c2, d) VALUES (2, 20, '200', 'y')")
    app.execute("UPDATE t SET c2 = '101' WHERE id = 1")
    app.execute("UPDATE t SET a2 = 11, x = 1 WHERE id = 1")

    def column(like: str) -> str:
        ((name,),) = app.execute("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 't'::regclass"
                                 " AND starts_with(attname, %s) AND length(attname) > 1"
                                 " OR attrelid = 't'::regclass AND attname = %s", [like, like]).fetchall()  # fmt: skip
        return str(name)

    old = {name: name if moment != "retired" else column(f"osc_old_{name}") for name in "ac"}
    rows: list[Any] = app.execute(
        f"SELECT {old['a']}, a2, {column(b)}, {old['c']}, c2, e FROM t ORDER BY id"
    ).fetchall()
    assert rows[0] == (11, 11, "ten", 101, "101", "d!")
    assert rows[1][:2] == (20, 20)
    assert rows[1][3:] == (200, "200", "y!")


@pytest.mark.either_version
def test_a_change_of_another_column_that_up_reads_clobbers_nothing(begin: Begin, connect: Connect) -> None:
    """The plan of the docs: NULL means "not verified", NEW knows the moment better than up does, and OLD corrects inputs."""
    app = connect()
    app.execute(
        "CREATE TABLE t (id int PRIMARY KEY, is_verified boolean NOT NULL DEFAULT false, created_at timestamptz, x int)"
    )
    app.execute("INSERT INTO t VALUES (1, true, '2019-01-01Z'), (2, false, '2019-01-01Z'), (3, true, '2019-01-01Z')")
    change = begin("- change_column: {table: t, column: is_verified, to: verified_at, type: timestamptz,"
                   " up: CASE WHEN is_verified THEN created_at END, down: verified_at IS NOT NULL, default: null}")  # fmt: skip
    change.expand().dual_write().fill()
    app.execute("UPDATE t SET verified_at = '2024-06-01Z' WHERE id = 3")
    app.execute("UPDATE t SET created_at = '2020-01-01Z', x = 1")
    app.execute("UPDATE t SET is_verified = true WHERE id = 2")
    app.execute("INSERT INTO t (id, verified_at) VALUES (4, '2024-07-01Z')")
    app.execute("UPDATE t SET verified_at = NULL WHERE id = 1")
    assert change.out_of_step() == []
    change.switch()
    assert change.out_of_step() == []
    app.execute("UPDATE t SET x = 2")
    rows = app.execute("SELECT id, is_verified, extract(year FROM verified_at)::int FROM t ORDER BY id").fetchall()
    assert rows == [(1, False, None), (2, True, 2020), (3, True, 2024), (4, True, 2024)]
