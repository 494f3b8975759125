"""Triggers of the application beside ours: ours sees what they made of the row, and the fill leaves no trace of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.sync.conftest import Begin

pytestmark = pytest.mark.both_versions

UPPER = "- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n}"


def trigger(name: str, body: str, *, events: str = "INSERT OR UPDATE", when: str = "BEFORE") -> str:
    """Return the statements that make a row trigger of the application."""
    return (
        f"CREATE FUNCTION {name}_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$;"
        f"CREATE TRIGGER {name} {when} {events} ON t FOR EACH ROW EXECUTE FUNCTION {name}_f()"
    )


def set_s(value: str) -> str:
    """Return PL/pgSQL that sets NEW.s without naming it: a plan is refused where a trigger is seen to name the column."""
    return f"NEW := jsonb_populate_record(NEW, jsonb_build_object(chr(115), {value}));"


@pytest.mark.parametrize("name", ["aaa", "zzz", "zzzz_osc", '"~a"', '"~osb"'])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_trigger_that_changes_s_is_seen_wherever_its_name_sorts(
    begin: Begin, connect: Connect, name: str, moment: str
) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int)")
    plain = name.strip('"~')
    changes_s = set_s("'made by ' || NEW.x")
    app.execute(trigger(plain, f"IF NEW.x > 0 THEN {changes_s} END IF; RETURN NEW;"))
    app.execute(f"ALTER TRIGGER {plain} ON t RENAME TO {name}")
    change = begin(UPPER, "backfill: {triggers: fire}").expand().dual_write()
    if moment == "after":
        change.switch()
    app.execute("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 0)")
    app.execute("UPDATE t SET x = 3 WHERE id = 2")
    rows = app.execute("SELECT s, n FROM t ORDER BY id").fetchall()
    assert rows == [("made by 1", "MADE BY 1"), ("made by 3", "MADE BY 3")]


def test_a_trigger_added_later_still_fires_before_ours(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    begin(UPPER).expand().dual_write()
    app.execute(trigger("zz_late", "NEW.s := NEW.s || '!'; RETURN NEW;"))
    app.execute("INSERT INTO t VALUES (1, 'a')")
    assert app.execute("SELECT s, n FROM t").fetchall() == [("a!", "A!")]
    app.execute('ALTER TRIGGER zz_late ON t RENAME TO "~z_late"')
    app.execute("UPDATE t SET s = 'b'")
    assert app.execute("SELECT s, n FROM t").fetchall() == [("b!", "B")], "behind ours nothing can be done but find it"


def test_filled_rows_keep_updated_at_and_all_else_that_triggers_change(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int, updated_at timestamptz DEFAULT 'epoch', big text,"
                " twice int GENERATED ALWAYS AS (x * 2) STORED)")  # fmt: skip
    app.execute(
        "INSERT INTO t SELECT i, 'a' || i, i, 'epoch', repeat(md5(i::text), 400) FROM generate_series(1, 50) AS i"
    )
    app.execute(trigger("touch", "NEW.updated_at := now(); NEW.x := NEW.x + 1; RETURN NEW;"))
    before = app.execute("SELECT id, s, x, updated_at, big, twice FROM t ORDER BY id").fetchall()
    change = begin(UPPER)
    app.execute(trigger("zzz", "NEW.s := NEW.s || '?'; RETURN NEW;"))
    change.expand().dual_write().fill(7)
    assert app.execute("SELECT id, s, x, updated_at, big, twice FROM t ORDER BY id").fetchall() == before
    assert change.out_of_step() == []
    assert app.execute("SELECT count(*) FROM t WHERE n <> upper(s)").fetchall() == [(0,)]
    app.execute("UPDATE t SET s = 'new' WHERE id = 1")
    rows = app.execute("SELECT s, n, x, updated_at > 'epoch', twice FROM t WHERE id = 1").fetchall()
    assert rows == [("new?", "NEW?", 2, True, 4)]


def test_a_column_that_a_trigger_of_the_application_maintains_is_not_filled_by_it(
    begin: Begin, connect: Connect
) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, seen int DEFAULT 0)")
    app.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 3) AS i")
    app.execute(trigger("counts", "NEW.seen := OLD.seen + 1; RETURN NEW;", events="UPDATE"))
    app.execute(trigger("swallows", "IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW;", events="UPDATE"))
    change = begin(UPPER).expand().dual_write().fill()
    assert app.execute("SELECT id, seen, n FROM t ORDER BY id").fetchall() == [(1, 0, "A"), (2, 0, None), (3, 0, "A")]
    assert change.out_of_step() == [["2"]], "a row that a trigger withholds is found, not lost"


def test_skip_leaves_every_trigger_of_the_application_out(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int DEFAULT 0)")
    app.execute("CREATE TABLE log (id int)")
    app.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 3) AS i")
    app.execute(trigger("audit", "INSERT INTO log VALUES (NEW.id); RETURN NULL;", when="AFTER"))
    app.execute(trigger("on_replicas", "NEW.x := 9; RETURN NEW;", events="UPDATE"))
    app.execute("ALTER TABLE t ENABLE REPLICA TRIGGER on_replicas")
    change = begin(UPPER, "backfill: {triggers: skip}").expand().dual_write().fill()
    assert change.out_of_step() == []
    assert app.execute("SELECT count(*) FROM log").fetchall() == [(0,)]
    assert app.execute("SELECT id, x, n FROM t ORDER BY id").fetchall() == [(1, 0, "A"), (2, 0, "A"), (3, 0, "A")]
    app.execute("UPDATE t SET s = 'b' WHERE id = 1")
    assert app.execute("SELECT count(*) FROM log").fetchall() == [(1,)]


def test_fire_lets_after_triggers_see_every_filled_row(begin: Begin, connect: Connect) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    app.execute("CREATE TABLE log (id int, n text)")
    app.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    app.execute(trigger("audit", "INSERT INTO public.log VALUES (NEW.id, NEW.n); RETURN NULL;", when="AFTER"))
    app.execute("ALTER FUNCTION audit_f() SET search_path = public")
    app.execute("CREATE OR REPLACE FUNCTION audit_f() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN INSERT INTO public.log VALUES (NEW.id, to_jsonb(NEW) ->> 'n'); RETURN NULL; END$$")  # fmt: skip
    begin(UPPER, "backfill: {triggers: fire}").expand().dual_write().fill()
    assert app.execute("SELECT * FROM log ORDER BY id").fetchall() == [(1, "A"), (2, "B")]


@pytest.mark.parametrize(("up", "down"), [("lower(s)", "n"), ("trim(s)", "n"), ("left(s, 3)", "n || '?'")])
def test_a_lossy_up_and_a_down_that_does_not_undo_it_leave_every_s_byte_identical(
    begin: Begin, connect: Connect, up: str, down: str
) -> None:
    app = connect()
    app.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    app.execute("INSERT INTO t SELECT i, ' Bob' || i || '@X.com ' FROM generate_series(1, 100) AS i")
    before = app.execute("SELECT id, s FROM t ORDER BY id").fetchall()
    change = begin(f'- change_column: {{table: t, column: s, to: n, type: text, up: "{up}", down: "{down}"}}')
    change.expand().dual_write().fill(30)
    assert app.execute("SELECT id, s FROM t ORDER BY id").fetchall() == before
    assert app.execute(f"SELECT count(*) FROM t WHERE n = {up}").fetchall() == [(100,)]
    app.execute("UPDATE t SET id = id")
    change.switch()
    app.execute("UPDATE t SET id = id")
    assert app.execute("SELECT id, s FROM t ORDER BY id").fetchall() == before
    assert change.out_of_step() == []
