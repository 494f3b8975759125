"""Values that one side cannot say: the truth's side always writes, the other side is refused rather than lost."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.errors import Refused

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin

pytestmark = pytest.mark.both_versions

# By a limit that is compared, and by an exception block: the text of the function says which.
DOWN = {
    "compared": ("bigint", "s::bigint", "n::int", "3000000000", "5"),
    "guarded": ("text", "s::text", "n::int", "'x'", "'5'"),
}
UP = {
    "compared": ("bigint", "int", "s::int", "n::bigint", "3000000000"),
    "guarded": ("text", "int", "s::int", "n::text", "'12x'"),
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("renamed", [True, False], ids=["to", "same name"])
def test_after_switch_a_value_that_down_refuses_stands_and_s_is_null(
    begin: Begin, connect: Connect, how: str, renamed: bool
) -> None:
    target, up, down, beyond, fits = DOWN[how]
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int NOT NULL, x int)")
    app.execute("INSERT INTO t VALUES (1, 1), (2, 2)")
    if renamed:
        change = begin(f"- change_column: {{table: t, column: s, to: n, type: {target}, up: '{up}', down: '{down}'}}")
    else:
        change = begin(f"- change_column: {{table: t, column: s, type: {target}, same_name: accepted, up: '{up}',"
                       f" down: '{down.replace('n::', 's::')}'}}")  # fmt: skip
    change.expand().dual_write().fill().finish().switch()
    n = "n" if renamed else "s"
    ((s,),) = app.execute("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 2"
                          ).fetchall()  # fmt: skip
    app.execute(f"UPDATE t SET {n} = {beyond} WHERE id = 1")
    app.execute(f"INSERT INTO t (id, {n}) VALUES (3, {beyond})")
    app.execute("UPDATE t SET x = 1")
    rows = app.execute(f"SELECT id, {s}, {n}::text FROM t ORDER BY id").fetchall()
    assert rows == [(1, None, beyond.strip("'")), (2, 2, "2"), (3, None, beyond.strip("'"))]
    with pytest.raises(psycopg.DataError) if how == "guarded" else nullcontext():
        assert sorted(change.out_of_step()) == [["1"], ["3"]]
    app.execute(f"UPDATE t SET {n} = {fits} WHERE id <> 2")
    assert change.out_of_step() == []
    assert app.execute(f"SELECT {s} FROM t ORDER BY id").fetchall() == [(5,), (2,), (5,)]
    assert ("EXCEPTION WHEN" in _function(connect)) == (how == "guarded")


@pytest.mark.parametrize("how", DOWN)
def test_before_switch_a_value_that_down_refuses_is_refused(begin: Begin, connect: Connect, how: str) -> None:
    target, up, down, beyond, _ = DOWN[how]
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int)")
    app.execute("INSERT INTO t VALUES (1, 1)")
    begin(f"- change_column: {{table: t, column: s, to: n, type: {target}, up: '{up}', down: '{down}'}}"
          ).expand().dual_write()  # fmt: skip
    for write in (f"UPDATE t SET n = {beyond}", f"INSERT INTO t (id, n) VALUES (2, {beyond})"):
        with pytest.raises(psycopg.DataError):
            app.execute(write)
    assert app.execute("SELECT * FROM t").fetchall() == [(1, 1, None)]


@pytest.mark.parametrize("how", UP)
def test_a_value_that_up_refuses_stands_before_switch_and_is_refused_after(
    begin: Begin, connect: Connect, how: str
) -> None:
    source, target, up, down, beyond = UP[how]
    app = connect()
    app.execute(f"CREATE TABLE t (id int PRIMARY KEY, s {source}, x int)")
    app.execute("INSERT INTO t VALUES (1, '1', 0), (2, '2', 0)")
    change = begin(f"- change_column: {{table: t, column: s, to: n, type: {target}, up: '{up}', down: '{down}'}}")
    change.expand().dual_write().fill()
    app.execute(f"UPDATE t SET s = {beyond} WHERE id = 1")
    app.execute(f"INSERT INTO t (id, s) VALUES (3, {beyond})")
    app.execute("UPDATE t SET x = 1")
    rows = app.execute("SELECT s::text, n FROM t ORDER BY id").fetchall()
    assert rows == [(beyond.strip("'"), None), ("2", 2), (beyond.strip("'"), None)]
    app.execute("UPDATE t SET s = '4' WHERE id <> 2")
    assert change.out_of_step() == []
    change.switch()
    for write in (f"UPDATE t SET s = {beyond}", f"INSERT INTO t (id, s) VALUES (4, {beyond})"):
        with pytest.raises(psycopg.DataError):
            app.execute(write)
    assert app.execute("SELECT s::text, n FROM t ORDER BY id").fetchall() == [("4", 4), ("2", 2), ("4", 4)]


@pytest.mark.parametrize("how", UP)
def test_a_value_that_up_refuses_written_right_before_the_switch_is_not_lost(
    begin: Begin, connect: Connect, how: str
) -> None:
    """Verified a moment before, switched a moment after: only S has it, and no touch of the row may take it away."""
    source, target, up, down, beyond = UP[how]
    app = connect()
    app.execute(f"CREATE TABLE t (id int PRIMARY KEY, s {source}, x int)")
    app.execute("INSERT INTO t VALUES (1, '1', 0), (2, '2', 0)")
    change = begin(f"- change_column: {{table: t, column: s, to: n, type: {target}, up: '{up}', down: '{down}'}}")
    change.expand().dual_write().fill().finish()
    app.execute(f"UPDATE t SET s = {beyond} WHERE id = 1")
    change.switch()
    app.execute("UPDATE t SET x = 1")
    rows = app.execute("SELECT s::text, n FROM t ORDER BY id").fetchall()
    assert rows == [(beyond.strip("'"), None), ("2", 2)]
    with pytest.raises(psycopg.DataError) if how == "guarded" else nullcontext():
        assert change.out_of_step() == [["1"]]
    app.execute("UPDATE t SET n = 7 WHERE id = 1")
    assert app.execute("SELECT s::text, n FROM t ORDER BY id").fetchall() == [("7", 7), ("2", 2)]
    assert change.out_of_step() == []


def test_without_down_n_is_refused_before_switch_and_leaves_s_alone_after(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int)")
    app.execute("INSERT INTO t VALUES (1, 'Bob')")
    change = begin("- change_column: {table: t, column: s, to: n, type: text, up: md5(s), down: none}")
    change.expand().dual_write()
    for write in ("UPDATE t SET n = 'x'", "INSERT INTO t (id, n) VALUES (2, 'x')"):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="cannot be written yet"):
            app.execute(write)
    app.execute("UPDATE t SET s = 'Tom'")
    change.fill().switch()
    assert change.out_of_step() == []
    app.execute("UPDATE t SET n = 'mine', x = 1")
    app.execute("UPDATE t SET x = 2")
    app.execute("INSERT INTO t (id, n) VALUES (2, 'new')")
    app.execute("INSERT INTO t (id, s) VALUES (3, 'old')")
    rows = app.execute("SELECT s, n FROM t ORDER BY id").fetchall()
    assert rows == [("Tom", "mine"), (None, "new"), ("old", "149603e6c03516362a8da23f624db945")]


def test_a_timeout_is_no_failure_of_an_expression(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN $1")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    begin(
        "- change_column: {table: t, column: s, to: n, type: text, up: public.slow(s), down: n}"
    ).expand().dual_write()
    app.execute("CREATE OR REPLACE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql"
                " AS $$BEGIN PERFORM pg_sleep(60); RETURN $1; END$$")  # fmt: skip
    app.execute("SET statement_timeout = '100ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        app.execute("INSERT INTO t (id, s) VALUES (1, 'a')")
    assert app.execute("SELECT * FROM t").fetchall() == []


def test_an_expression_that_cannot_raise_costs_no_exception_block(begin: Begin, connect: Connect) -> None:
    connect().execute("CREATE TABLE t (id int PRIMARY KEY, s int, flag boolean, label text)")
    begin("- change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint', down: 'n::int'}\n"
          "- change_column: {table: t, column: label, to: tag, type: text, up: lower(label), down: tag}"
          ).expand().dual_write().switch()  # fmt: skip
    assert "EXCEPTION WHEN" not in _function(connect)


def _function(connect: Connect) -> str:
    ((body,),) = connect().execute("SELECT prosrc FROM pg_proc WHERE proname LIKE 'osc_sync%'").fetchall()
    return str(body)


@pytest.mark.parametrize("forbids", ["NOT NULL", "CHECK (VALUE IS NOT NULL)"])
def test_an_s_whose_domain_forbids_null_is_refused_before_its_trigger_could_fail_every_write(
    begin: Begin, connect: Connect, forbids: str
) -> None:
    app = connect()
    app.execute(f"CREATE DOMAIN code AS text {forbids}")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s code DEFAULT 'x')")
    plan = ("- change_column: {table: t, column: s, to: n, type: text, up: 's::text', down: 'n::public.code',"
            " default: null, not_null: false}")  # fmt: skip
    with pytest.raises(Refused) as refused:
        begin(plan)
    assert "refuses NULL" in str(refused.value.findings)
    app.execute("ALTER DOMAIN code DROP NOT NULL")
    app.execute("ALTER DOMAIN code DROP CONSTRAINT IF EXISTS code_check")
    begin(plan).expand().dual_write()
    app.execute("INSERT INTO t VALUES (1, 'a')")
    app.execute("INSERT INTO t (id, n) VALUES (2, 'b')")
    assert app.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [("a", "a"), ("b", "b")]


def test_a_domain_with_constraints_is_refused_as_the_new_type_because_adding_it_would_rewrite_the_table(
    begin: Begin, connect: Connect
) -> None:
    app = connect()
    app.execute("CREATE DOMAIN code AS text CHECK (VALUE <> '')")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    with pytest.raises(Refused) as refused:
        begin("- change_column: {table: t, column: s, to: n, type: public.code, up: 's::public.code', down: 'n::text'}")
    assert "rewrites the table" in str(refused.value.findings)
