"""Every way a row can be written meets the trigger: upserts, COPY, MERGE, views, replicas, cascades, rollbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin
    from tests.sync.rig import ByHand

pytestmark = pytest.mark.both_versions

UPPER = "- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n}"

# Statements by the application on a table that holds (1, 'a') and (2, 'b'), and the rows (id, s, n) afterwards.
WRITERS = {
    "update": (["UPDATE t SET s = 'x' WHERE id = 1"], [(1, "x", "X"), (2, "b", "B")]),
    "update of n": (["UPDATE t SET n = 'x' WHERE id = 1"], [(1, "x", "x"), (2, "b", "B")]),
    "update from": (
        ["UPDATE t SET s = v.s FROM (VALUES (1, 'x'), (2, 'y')) AS v(id, s) WHERE v.id = t.id"],
        [(1, "x", "X"), (2, "y", "Y")],
    ),
    "update of the key": (["UPDATE t SET id = 9 WHERE id = 1"], [(2, "b", "B"), (9, "a", "A")]),
    "upsert of s, insert": (
        ["INSERT INTO t (id, s) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET s = EXCLUDED.s"],
        [(1, "a", "A"), (2, "b", "B"), (3, "x", "X")],
    ),
    "upsert of s, update": (
        ["INSERT INTO t (id, s) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET s = EXCLUDED.s"],
        [(1, "x", "X"), (2, "b", "B")],
    ),
    "upsert of n, insert": (
        ["INSERT INTO t (id, n) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n"],
        [(1, "a", "A"), (2, "b", "B"), (3, "x", "x")],
    ),
    "upsert of n, update": (
        ["INSERT INTO t (id, n) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n"],
        [(1, "x", "x"), (2, "b", "B")],
    ),
    "upsert that does nothing": (
        ["INSERT INTO t (id, s) VALUES (1, 'x') ON CONFLICT DO NOTHING"],
        [(1, "a", "A"), (2, "b", "B")],
    ),
    "delete and insert of one key": (
        ["DELETE FROM t WHERE id = 1", "INSERT INTO t (id, n) VALUES (1, 'x')"],
        [(1, "x", "x"), (2, "b", "B")],
    ),
    "merge": (
        [
            "MERGE INTO t USING (VALUES (1, 'x')) AS v(id, s) ON v.id = t.id WHEN MATCHED THEN UPDATE SET s = v.s",
            "MERGE INTO t USING (VALUES (3, 'y')) AS v(id, s) ON v.id = t.id WHEN NOT MATCHED THEN INSERT (id, s) VALUES (3, v.s)",
        ],
        [(1, "x", "X"), (2, "b", "B"), (3, "y", "Y")],
    ),
    "merge that deletes": (
        ["MERGE INTO t USING (VALUES (1, 'x')) AS v(id, n) ON v.id = t.id WHEN MATCHED THEN DELETE",
         "MERGE INTO t USING (VALUES (2, 'x')) AS v(id, n) ON v.id = t.id WHEN MATCHED THEN UPDATE SET n = v.n"],
        [(2, "x", "x")],
    ),
    "view": (
        ["CREATE VIEW w AS SELECT id, s FROM t", "UPDATE w SET s = 'x' WHERE id = 1", "INSERT INTO w VALUES (3, 'y')"],
        [(1, "x", "X"), (2, "b", "B"), (3, "y", "Y")],
    ),
    "insert select": (["INSERT INTO t (id, s) SELECT id + 2, s || s FROM t"],
                      [(1, "a", "A"), (2, "b", "B"), (3, "aa", "AA"), (4, "bb", "BB")]),
    "replica role (logical apply, restore, bulk loaders)": (
        ["SET session_replication_role = replica", "UPDATE t SET s = 'x' WHERE id = 1",
         "INSERT INTO t (id, s) VALUES (3, 'y')"],
        [(1, "x", "X"), (2, "b", "B"), (3, "y", "Y")],
    ),
    "truncate": (["TRUNCATE t RESTART IDENTITY", "INSERT INTO t (id, s) VALUES (1, 'x')"], [(1, "x", "X")]),
    "prepared": (
        ["PREPARE p AS UPDATE t SET s = $1 WHERE id = $2", "EXECUTE p('x', 1)", "EXECUTE p('y', 2)"],
        [(1, "x", "X"), (2, "y", "Y")],
    ),
    "loop of a function": (
        ["DO $$BEGIN FOR i IN 1..2 LOOP UPDATE t SET s = 'x' || i WHERE id = i; END LOOP; END$$"],
        [(1, "x1", "X1"), (2, "x2", "X2")],
    ),
    "data-modifying CTE": (
        ["WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING s) INSERT INTO t (id, s) SELECT 3, s FROM gone"],
        [(2, "b", "B"), (3, "a", "A")],
    ),
    "partial savepoints": (
        ["BEGIN", "UPDATE t SET s = 'x' WHERE id = 1", "SAVEPOINT a", "UPDATE t SET n = 'gone' WHERE id = 1",
         "UPDATE t SET s = 'gone' WHERE id = 2", "ROLLBACK TO a", "UPDATE t SET n = 'y' WHERE id = 2", "COMMIT"],
        [(1, "x", "X"), (2, "y", "y")],
    ),
    "rollback": (["BEGIN", "UPDATE t SET s = 'gone'", "DELETE FROM t", "ROLLBACK"], [(1, "a", "A"), (2, "b", "B")]),
}  # fmt: skip


@pytest.fixture
def change(begin: Begin, connect: Connect) -> ByHand:
    connect().execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    connect().execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    return begin(UPPER).expand().dual_write().fill()


def test_every_kind_of_statement_keeps_the_row_in_step(change: ByHand, connect: Connect) -> None:
    found = {}
    for name, (statements, _) in WRITERS.items():
        app = connect()
        app.execute("SET synchronous_commit = off")
        app.execute("TRUNCATE t")
        app.execute("INSERT INTO t (id, s) VALUES (1, 'a'), (2, 'b')")
        for statement in statements:
            app.execute(statement)
        found[name] = app.execute("SELECT id, s, n FROM t ORDER BY id").fetchall()
        assert change.out_of_step() == [], name
        app.close()
    assert found == {name: rows for name, (_, rows) in WRITERS.items()}


def test_rows_are_right_after_the_switch_for_every_kind_of_statement(change: ByHand, connect: Connect) -> None:
    change.switch()
    test_every_kind_of_statement_keeps_the_row_in_step(change, connect)


def test_copy_fills_the_column_that_it_does_not_name(change: ByHand, connect: Connect) -> None:
    app = connect()
    for columns, line in (("id, s", "3\tx\n"), ("id, n", "4\ty\n"), ("id, s, n", "5\tx\tx\n")):
        with app.cursor().copy(f"COPY t ({columns}) FROM STDIN") as copy:
            copy.write(line)
    rows = app.execute("SELECT id, s, n FROM t WHERE id > 2 ORDER BY id").fetchall()
    assert rows == [(3, "x", "X"), (4, "y", "y"), (5, "x", "x")]


def test_returning_shows_both_columns(change: ByHand, connect: Connect) -> None:
    app = connect()
    assert app.execute("INSERT INTO t (id, s) VALUES (3, 'x') RETURNING s, n").fetchall() == [("x", "X")]
    assert app.execute("UPDATE t SET n = 'z' WHERE id = 3 RETURNING s, n").fetchall() == [("z", "z")]


def test_foreign_key_actions_on_s_reach_n(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s int REFERENCES parent ON UPDATE CASCADE ON DELETE SET NULL)")
    app.execute("INSERT INTO parent VALUES (1), (2), (3)")
    app.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
    change = begin("- change_column: {table: t, column: s, to: n, type: bigint}").expand().dual_write()
    app.execute("UPDATE parent SET id = 10 WHERE id = 1")
    app.execute("DELETE FROM parent WHERE id = 2")
    assert app.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, 10, 10), (2, None, None), (3, 3, None)]
    change.fill().finish()  # now N has a foreign key of its own, with the same actions
    app.execute("UPDATE parent SET id = 30 WHERE id = 3")
    app.execute("DELETE FROM parent WHERE id = 10")
    assert app.execute("SELECT * FROM t ORDER BY id").fetchall() == [(1, None, None), (2, None, None), (3, 30, 30)]
    change.switch()
    app.execute("UPDATE parent SET id = 31")
    assert app.execute("SELECT * FROM t WHERE id = 3").fetchall() == [(3, 31, 31)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        app.execute("UPDATE t SET n = 99 WHERE id = 3")


def test_a_repeatable_read_writer_from_before_the_fill_meets_40001_and_nothing_else(
    begin: Begin, connect: Connect
) -> None:
    app, other = connect(autocommit=False), connect()
    other.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    other.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    change = begin(UPPER).expand().dual_write()
    app.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    app.execute("SELECT 1")
    app.execute("UPDATE t SET s = 'x' WHERE id = 1")
    app.rollback()
    app.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    app.execute("SELECT count(*) FROM t")
    change.fill()
    with pytest.raises(psycopg.errors.SerializationFailure):
        app.execute("UPDATE t SET s = 'x' WHERE id = 1")
    app.rollback()
    app.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    app.execute("UPDATE t SET s = 'x' WHERE id = 1")
    app.commit()
    assert other.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [("x", "X"), ("b", "B")]


def test_a_role_without_rights_in_schema_osc_writes_as_before(change: ByHand, connect: Connect) -> None:
    admin = connect()
    role = f"app_{admin.info.dbname}"
    admin.execute(f"CREATE ROLE {role}")
    try:
        admin.execute(f"GRANT SELECT, INSERT, UPDATE ON t TO {role}")
        admin.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        admin.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
        admin.execute(f"SET ROLE {role}")
        admin.execute("SET search_path = pg_temp")
        admin.execute("INSERT INTO public.t (id, s) VALUES (3, 'x')")
        admin.execute("UPDATE public.t SET n = 'y' WHERE id = 1")
        assert admin.execute("SELECT id, s, n FROM public.t ORDER BY id").fetchall() == [
            (1, "y", "y"), (2, "b", "B"), (3, "x", "X")]  # fmt: skip
    finally:
        admin.execute("RESET ROLE")
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")


def test_names_in_an_expression_mean_what_they_meant_when_it_was_proven(change: ByHand, connect: Connect) -> None:
    """The function pins search_path: a writer's own ``upper`` or ``=`` has no say in what is stored."""
    app = connect()
    app.execute("CREATE SCHEMA mine")
    app.execute("CREATE FUNCTION mine.upper(text) RETURNS text IMMUTABLE LANGUAGE sql RETURN 'hijacked'")
    app.execute("CREATE FUNCTION mine.never(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN false")
    app.execute("CREATE OPERATOR mine.= (FUNCTION = mine.never, LEFTARG = text, RIGHTARG = text)")
    app.execute("SET search_path = mine, pg_catalog, public")
    app.execute("INSERT INTO t (id, s) VALUES (3, 'x')")
    app.execute("UPDATE t SET s = s || 'y' WHERE id = 1")
    app.execute("RESET search_path")
    assert app.execute("SELECT s, n FROM t ORDER BY id").fetchall() == [("ay", "AY"), ("b", "B"), ("x", "X")]
    assert change.out_of_step() == []
