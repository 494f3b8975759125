"""F45, F46, F69, T8: triggers of the application of every kind at once, beside ours, through a whole change.

Single rules of the sync trigger beside others are in tests/sync/test_triggers.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.program import Phase

if TYPE_CHECKING:
    from tests.operations.lab import Lab

CHANGE = "- change_column: {table: t, column: email, to: mail, type: text, up: lower(email), down: mail}"
TABLE = """
CREATE TABLE t (id integer PRIMARY KEY, email text, n integer DEFAULT 0, updated_at timestamptz DEFAULT 'epoch');
CREATE TABLE log (what text, id integer);
INSERT INTO t SELECT n, 'A' || n || '@X' FROM generate_series(1, 60) AS n;
"""


def trigger(name: str, body: str, made: str, *, returns: str = "NEW") -> str:
    """Return a trigger function, unseen by its words to change the column, and the trigger itself."""
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} RETURN {returns}; END$$; "
        f"CREATE {made} EXECUTE FUNCTION {name}();"
    )


TRIMMED = "NEW := jsonb_populate_record(NEW, jsonb_build_object(chr(101) || 'mail', btrim(to_jsonb(NEW) ->> (chr(101) || 'mail'))));"
EVERY_KIND = "".join(
    (
        trigger("touched", "NEW.updated_at := now();", "TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW"),
        trigger("trimmed", TRIMMED, "TRIGGER zz_trimmed BEFORE INSERT OR UPDATE ON t FOR EACH ROW"),
        trigger("counted", "NEW.n := coalesce(NEW.n, 0) + 1;", "TRIGGER counted BEFORE UPDATE OF n ON t FOR EACH ROW"),
        trigger("moved", "NEW.id := NEW.id + 1000;", "TRIGGER moved BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id < 0)"),
        trigger("refused", "RAISE 'thirteen';", "TRIGGER refused BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = 13000)"),
        trigger("kept", "", "TRIGGER kept BEFORE DELETE ON t FOR EACH ROW", returns="NULL"),
        trigger("inserted", "INSERT INTO public.log VALUES ('insert', NEW.id);",
                "TRIGGER inserted AFTER INSERT ON t FOR EACH ROW"),
        trigger("changed", "INSERT INTO public.log VALUES ('update', NEW.id);",
                "TRIGGER changed AFTER UPDATE OF n ON t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)"),
        trigger("emptied", "INSERT INTO public.log VALUES ('truncate', 0);",
                "TRIGGER emptied AFTER TRUNCATE ON t", returns="NULL"),
        trigger("many", "INSERT INTO public.log SELECT 'many', count(*) FROM fresh;",
                "TRIGGER many AFTER INSERT ON t REFERENCING NEW TABLE AS fresh", returns="NULL"),
        trigger("elsewhere", "NEW.n := -1;", "TRIGGER elsewhere BEFORE UPDATE ON t FOR EACH ROW"),
        "ALTER TABLE t ENABLE REPLICA TRIGGER elsewhere;",
        trigger("later", "INSERT INTO public.log VALUES ('later', NEW.id);",
                "CONSTRAINT TRIGGER later AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"),
    )
)  # fmt: skip


def test_a_fill_leaves_no_trace_of_any_of_them_and_every_write_is_in_step(lab: Lab) -> None:
    lab.run(TABLE + EVERY_KIND)
    rows = lab.rows("SELECT id, email, n, updated_at FROM t ORDER BY id")
    lab.write(CHANGE)
    for phase in (Phase.EXPAND, Phase.DUAL_WRITE, Phase.BACKFILL):
        lab.apply(phase)
        assert lab.rows("SELECT id, email, n, updated_at FROM t ORDER BY id") == rows
        assert lab.rows("SELECT * FROM log") == []
    lab.run(
        "INSERT INTO t (id, email) VALUES (100, ' Old@X '); UPDATE t SET n = 5 WHERE id = 1; DELETE FROM t WHERE id = 2"
    )
    lab.run("INSERT INTO t (id, email) VALUES (-1, 'Moved@X'); UPDATE t SET mail = 'new@x' WHERE id = 3")
    with pytest.raises(Exception, match="thirteen"):
        lab.run("INSERT INTO t (id, email) VALUES (13000, 'x')")
    assert lab.rows("SELECT id, email, mail, n FROM t WHERE id IN (1, 2, 3, 100, 999) ORDER BY id") == [
        (1, "A1@X", "a1@x", 6), (2, "A2@X", "a2@x", 0), (3, "new@x", "new@x", 0), (100, "Old@X", "old@x", 0),
        (999, "Moved@X", "moved@x", 0),
    ]  # fmt: skip
    lab.apply(Phase.SWITCH)
    lab.run("UPDATE t SET mail = 'Kept@X' WHERE id = 4; SET session_replication_role = replica;"
            "UPDATE t SET mail = 'replica@x' WHERE id = 5; RESET session_replication_role")  # fmt: skip
    assert lab.rows("SELECT id, email, n FROM t WHERE id IN (4, 5) ORDER BY id") == [
        (4, "Kept@X", 0),
        (5, "replica@x", -1),
    ]
    lab.apply(Phase.CONTRACT)
    told = lab.rows("SELECT what, count(*) FROM log GROUP BY 1 ORDER BY 1")
    assert told == [("insert", 2), ("later", 2), ("many", 2), ("update", 1)]


KINDS = {
    "after update": "TRIGGER g AFTER UPDATE ON t FOR EACH ROW",
    "statement": "TRIGGER g BEFORE UPDATE ON t",
    "transition table": "TRIGGER g AFTER UPDATE ON t REFERENCING NEW TABLE AS fresh OLD TABLE AS stale",
    "deferred constraint trigger": "CONSTRAINT TRIGGER g AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
    "always": "TRIGGER g AFTER UPDATE ON t FOR EACH ROW",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_fill_would_fire_is_named_and_fires_if_that_is_wished(lab: Lab, kind: str) -> None:
    lab.run(TABLE + trigger("told", "INSERT INTO public.log VALUES ('fired', 1);", KINDS[kind], returns="NULL"))
    if kind == "always":
        lab.run("ALTER TABLE t ENABLE ALWAYS TRIGGER g")
    lab.write(CHANGE)
    assert any(line.startswith("C251 triggers of public.t would fire") for line in lab.refusal())
    if kind == "always":
        lab.write(CHANGE, "backfill: {triggers: skip}")
        assert any("ENABLE ALWAYS" in line for line in lab.refusal())
    lab.write(CHANGE, "backfill: {triggers: fire}")
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) > 0 FROM log WHERE what = 'fired'")
    assert lab.value("SELECT count(*) FROM t WHERE mail = lower(email)") == 60


def test_a_trigger_that_refuses_the_fill_is_told_and_loses_nothing(lab: Lab) -> None:
    lab.run(TABLE + trigger("api", "RAISE 'use the api';", "TRIGGER api BEFORE UPDATE ON t FOR EACH ROW"))
    lab.write(CHANGE)
    with pytest.raises(Exception, match="use the api"):
        lab.apply(Phase.BACKFILL)
    lab.back()
    assert lab.value("SELECT count(*) FROM t WHERE email = 'A' || id || '@X'") == 60
