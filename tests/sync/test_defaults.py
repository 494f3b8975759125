"""INSERTs that leave S alone: its default, NULLs, and the new application's word for NULLs it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin

pytestmark = pytest.mark.both_versions

TO_BIGINT = "- change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint', down: 'n::int'}"


@pytest.mark.parametrize(
    ("default", "inserted_by_neither"),
    [
        ("7", 7),
        ("NULL", None),
        ("-1", -1),
        ("(2 + 3)", 5),
        ("date_part('year', now())::int * 0", 0),  # compared as volatile: it might have another value a moment later
        ("nextval('seq')::int", 1),
        ("(random() * 0)::int", 0),
    ],
)
def test_a_new_application_that_knows_only_n_gets_its_value_into_s_whatever_the_default(
    begin: Begin, connect: Connect, default: str, inserted_by_neither: int | None
) -> None:
    app = connect()
    app.execute("CREATE SEQUENCE seq")
    app.execute(f"CREATE TABLE t (id int PRIMARY KEY, s int DEFAULT {default})")
    change = begin(TO_BIGINT).expand().dual_write()
    app.execute("INSERT INTO t (id) VALUES (1)")
    for moment in ("before", "after"):
        app.execute("INSERT INTO t (id, n) VALUES (2, 40), (3, -40)")
        app.execute("INSERT INTO t (id, s) VALUES (4, 50)")
        rows = app.execute("SELECT id, s, n FROM t WHERE id > 1 ORDER BY id").fetchall()
        assert rows == [(2, 40, 40), (3, -40, -40), (4, 50, 50)], moment
        app.execute("DELETE FROM t WHERE id > 1")
        if moment == "before":
            change.switch()
    assert app.execute("SELECT s, n FROM t").fetchall() == [(inserted_by_neither,) * 2]


@pytest.mark.parametrize("default", ["E'two\\nlines'", "'a\\b'", "'it''s 100%'", "$$;$$", "'\t'", "' x '"])
def test_a_default_is_recognised_whatever_characters_it_has(begin: Begin, connect: Connect, default: str) -> None:
    app = connect()
    app.execute(f"CREATE TABLE t (id int PRIMARY KEY, s text DEFAULT {default})")
    begin("- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n, default: null}"
          ).expand().dual_write()  # fmt: skip
    app.execute("INSERT INTO t (id, n) VALUES (1, 'mine')")
    assert app.execute("SELECT s, n FROM t").fetchall() == [("mine", "mine")]


def test_an_insert_of_both_is_kept_though_s_equals_its_default_if_the_row_is_in_step(
    begin: Begin, connect: Connect
) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text DEFAULT 'Bob')")
    begin("- change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n, default: null}"
          ).expand().dual_write()  # fmt: skip
    app.execute("INSERT INTO t VALUES (1, 'Bob', 'bob'), (2, 'Tom', 'ann'), (3, 'Bob', 'ann')")
    assert app.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [("Bob", "bob"), ("Tom", "ann"), ("ann", "ann")]


def test_n_that_equals_up_of_null_still_reaches_an_s_that_may_not_be_null(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int NOT NULL)")
    change = begin("- change_column: {table: t, column: s, to: n, type: bigint, up: 'coalesce(s, 0)::bigint',"
                   " down: 'n::int', not_null: true}").expand().dual_write()  # fmt: skip
    app.execute("INSERT INTO t (id, n) VALUES (1, 0)")
    change.fill().finish().switch()
    app.execute("INSERT INTO t (id, n) VALUES (2, 0)")
    assert app.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [(0, 0), (0, 0)]
    change.switch_back()


def test_null_in_n_is_meant_when_the_writer_says_that_it_is_new(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int DEFAULT 7)")
    begin(TO_BIGINT).expand().dual_write()
    app.execute("INSERT INTO t (id, n) VALUES (1, NULL)")
    app.execute("SET osc.writer = 'new'")
    app.execute("INSERT INTO t (id, n) VALUES (2, NULL), (3, 5)")
    app.execute("UPDATE t SET n = NULL WHERE id = 1")
    assert app.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [(None, None), (None, None), (5, 5)]


def test_a_patching_upsert_keeps_n_when_the_writer_says_that_it_is_new(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int DEFAULT 0, x int)")
    begin(TO_BIGINT).expand().dual_write()
    app.execute("INSERT INTO t (id, n) VALUES (1, 500)")
    app.execute("SET osc.writer = 'new'")
    app.execute("INSERT INTO t (id, n, x) VALUES (1, NULL, 3) ON CONFLICT (id) DO UPDATE"
                " SET n = COALESCE(EXCLUDED.n, t.n), x = EXCLUDED.x")  # fmt: skip
    assert app.execute("SELECT s, n, x FROM t").fetchall() == [(500, 500, 3)]


def test_a_serial_goes_on_counting_for_both_and_moves_with_the_name(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s serial)")
    change = begin("- change_column: {table: t, column: s, type: bigint}").expand().dual_write()
    app.execute("INSERT INTO t (id) VALUES (1), (2)")
    change.fill().finish().switch()
    app.execute("INSERT INTO t (id) VALUES (3)")
    app.execute("INSERT INTO t (id, s) VALUES (4, 3000000000)")
    assert app.execute("SELECT id, s FROM t ORDER BY id").fetchall() == [(1, 1), (2, 2), (3, 3), (4, 3_000_000_000)]
    app.execute("DELETE FROM t WHERE id = 4")
    change.switch_back()
    app.execute("INSERT INTO t (id) VALUES (5)")
    assert app.execute("SELECT id, s FROM t ORDER BY id").fetchall() == [(1, 1), (2, 2), (3, 3), (5, 4)]


def test_not_null_of_s_is_met_by_every_writer(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int NOT NULL)")
    change = begin(TO_BIGINT).expand().dual_write()
    app.execute("INSERT INTO t (id, n) VALUES (1, 5)")
    with pytest.raises(psycopg.errors.NotNullViolation):
        app.execute("INSERT INTO t (id) VALUES (2)")
    with pytest.raises(psycopg.errors.NotNullViolation):
        app.execute("UPDATE t SET n = NULL")
    change.fill().finish().switch()
    with pytest.raises(psycopg.errors.NotNullViolation):
        app.execute("INSERT INTO t (id) VALUES (2)")
    assert app.execute("SELECT * FROM t").fetchall() == [(1, 5, 5)]
