"""set_not_null: rows that hold NULL get a value, the constraint comes last, and the way back returns every NULL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from osc.compiler.explain import as_text
from osc.errors import Refused
from osc.program import Phase
from osc.verbs.status import status
from tests.fixtures.sweeping import daily
from tests.operations.lab import RETIRED, Lab

if TYPE_CHECKING:
    from osc.executor.reports import Report

ACKED = "backfill: {require: [{ack: writers-comply}]}\n"
KEPT = ACKED + "contract: {keep_for: 1d}\n"
T = """
CREATE TABLE t (id bigint PRIMARY KEY, s varchar(9), n integer);
INSERT INTO t SELECT g, CASE WHEN g % 3 > 0 THEN 'a' END, g FROM generate_series(1, 40) AS g;
"""
FILL = "- set_not_null: {table: t, column: s, fill: open}"
ROWS = "SELECT t::text FROM t ORDER BY id"
NULLS = "SELECT count(*) FROM t WHERE s IS NULL"


def begin(lab: Lab, operations: str = FILL, rest: str = ACKED, tables: str = T) -> tuple[str, list[str]]:
    """Write the plan, open its gate; return schema and rows as they are before."""
    lab.run(tables)
    before = lab.dump(), lab.rows(ROWS)
    lab.write(operations, rest)
    if rest.startswith("backfill"):
        lab.apply(Phase.DUAL_WRITE)
        lab.ack("writers-comply")
    return before


# ------------------------------------------------------------------------------------- there and back


@pytest.mark.either_version
def test_it_ends_as_a_person_would_have_made_it_and_nothing_is_kept(lab: Lab) -> None:
    begin(lab)
    lab.apply(Phase.BACKFILL)
    assert lab.drift_behind(Phase.BACKFILL) == []
    lab.finish()
    dump = lab.dump()
    assert lab.rows("SELECT s, count(*) FROM t GROUP BY s ORDER BY s") == [("a", 27), ("open", 13)]
    assert lab.rows("SELECT * FROM osc.kept") == []
    lab.run("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, s varchar(9) NOT NULL, n integer)")
    assert dump == lab.dump()


@pytest.mark.either_version
@pytest.mark.parametrize("to", [Phase.BACKFILL, RETIRED])
def test_the_way_back_leaves_schema_and_data_as_they_were(lab: Lab, to: Phase | str) -> None:
    before = begin(lab, rest=KEPT)
    lab.apply(to)
    assert (lab.value(NULLS), lab.value("SELECT count(*) FROM osc.kept")) == (0, 13)
    lab.back()
    assert (lab.dump(), lab.rows(ROWS)) == before
    assert lab.rows("SELECT * FROM osc.kept UNION ALL SELECT * FROM osc.kept") == []
    assert lab.drift_before(Phase.BACKFILL) == []


def test_a_fill_that_was_taken_back_can_be_done_again(lab: Lab) -> None:
    begin(lab)
    lab.apply(Phase.BACKFILL)
    lab.back(Phase.DUAL_WRITE)
    assert lab.value(NULLS) == 13
    lab.run("UPDATE t SET s = 'z' WHERE id = 3")
    lab.finish()
    assert lab.rows("SELECT s, count(*) FROM t GROUP BY s ORDER BY s") == [("a", 27), ("open", 12), ("z", 1)]


def hook(lab: Lab, sql: str, *, step: str = "", message: str = "") -> None:
    """Let the application run statements when osc says that it comes to this step."""

    def listen(report: Report) -> None:
        if report.kind == "step" and step in (report.step or "") and report.message.startswith(message):
            lab.run(sql)

    lab.session = replace(lab.session, listener=listen)


@pytest.mark.either_version
def test_rows_the_application_wrote_meanwhile_are_as_it_wrote_them(lab: Lab) -> None:
    """Every row of ours gets its NULL back; what the application gave another value or another key is its own."""
    dump, _ = begin(lab)
    lab.apply(Phase.BACKFILL)
    lab.run(
        """
        UPDATE t SET s = 'mine' WHERE id = 3;
        UPDATE t SET s = 'open' WHERE id = 6;
        UPDATE t SET n = -9 WHERE id = 9;
        DELETE FROM t WHERE id = 12;
        DELETE FROM t WHERE id = 15; INSERT INTO t VALUES (15, 'new', 0);
        UPDATE t SET id = 118 WHERE id = 18;
        UPDATE t SET id = 21000 WHERE id = 21; UPDATE t SET id = 21, s = 'b' WHERE id = 22;
        INSERT INTO t VALUES (99, 'open', 0);
        """
    )
    # From here on NULL is allowed again.
    hook(lab, "UPDATE t SET s = NULL WHERE id IN (24, 25)", message="Put back")
    lab.back()
    changed = "id IN (3, 6, 9, 12, 15, 18, 118, 21, 22, 21000, 99, 24, 25)"
    assert lab.rows(f"SELECT id, s, n FROM t WHERE {changed} ORDER BY id") == [
        (3, "mine", 3), (6, None, 6), (9, None, -9), (15, "new", 0), (21, "b", 22), (24, None, 24), (25, None, 25),
        (99, "open", 0), (118, "open", 18), (21000, "open", 21),
    ]  # fmt: skip
    assert lab.value(f"SELECT count(*) FROM t WHERE s IS NULL AND NOT {changed}") == 5
    assert lab.dump() == dump


@pytest.mark.either_version
def test_what_a_check_does_not_allow_any_more_is_named_and_all_else_is_put_back(lab: Lab) -> None:
    before = begin(lab)
    lab.apply(Phase.BACKFILL)
    lab.run("ALTER TABLE t ADD CONSTRAINT later CHECK (id <> 6 OR s IS NOT NULL)")
    with pytest.raises(Refused, match=r"1 rows of public.t cannot be put back, all others are: \(\{6\}\): .*later"):
        lab.back()
    assert (lab.value(NULLS), lab.value("SELECT key FROM osc.kept")) == (12, ["6"])
    lab.run("ALTER TABLE t DROP CONSTRAINT later")
    lab.back()
    assert (lab.dump(), lab.rows(ROWS)) == before


# ------------------------------------------------------------------------------- beside other operations

WIDE = """
CREATE TABLE t (region text COLLATE "C", day date, s text, n integer, at timestamptz, done numeric(6,2), PRIMARY KEY (region, day));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE log (what text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (OLD::text); RETURN NULL; END';
CREATE TRIGGER tell AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO t SELECT 'r"' || g % 5, '2026-01-01'::date + g, nullif(g % 3, 0), g, NULL, nullif(g % 2, 0)
    FROM generate_series(1, 60) AS g;
"""
TOGETHER = """
- set_not_null: {table: t, column: s, fill: {sql: "region || n::text"}}
- change_column: {table: t, column: n, to: m, type: bigint}
- set_not_null: {table: t, column: done, fill: 0.50}
"""
WIDE_ROWS = "SELECT t::text FROM t ORDER BY 1"


@pytest.mark.either_version
def test_several_of_a_table_share_one_pass_whose_way_back_fires_what_it_fired(lab: Lab) -> None:
    """The key has two columns, each row a NULL in none, one or both; the application's triggers see nothing of it."""
    rest = ACKED.replace("}\n", ", triggers: skip}\n")
    lab.run(WIDE)
    before = lab.dump(), lab.rows(WIDE_ROWS)
    lab.write(TOGETHER, rest)
    lab.apply(Phase.DUAL_WRITE)
    lab.ack("writers-comply")
    lab.apply(Phase.BACKFILL)
    assert [step.kind for step in lab.program().phase(Phase.BACKFILL).steps].count("fill") == 1
    assert lab.value("SELECT count(*) FROM t WHERE s IS NULL OR done IS NULL OR m <> n OR at IS NOT NULL") == 0
    assert lab.value("SELECT count(*) FROM t WHERE s = region || n::text AND done::text = '0.50'") == 10
    assert lab.rows("SELECT count(*), count(*) FILTER (WHERE ours ? 's' AND ours ? 'done') FROM osc.kept") == [(40, 10)]
    lab.apply(Phase.SWITCH)
    lab.back()
    assert (lab.dump(), lab.rows(WIDE_ROWS)) == before
    assert lab.rows("SELECT what FROM log") == []


@pytest.mark.parametrize(
    ("value", "type_name", "written"),
    daily([
        ("1.50", "numeric(6,2)", "1.50"),
        ("'{\"a\":  1}'", "json", '{"a":  1}'),
        ("''", "text", ""),
        ("x", "character(4)", "x   "),
        ("'-0'", "double precision", "-0"),
        ("'12:30:00.000001'", "time", "12:30:00.000001"),
        ("'(1,2)'", "point", "(1,2)"),
        ("true", "boolean", "t"),
        ("'{NULL,\"a b\"}'", "text[]", '{NULL,"a b"}'),
    ], 3),
)  # fmt: skip
def test_a_value_of_any_type_is_told_by_its_image(lab: Lab, value: str, type_name: str, written: str) -> None:
    tables = f"CREATE TABLE t (id bigint PRIMARY KEY, s {type_name}, n int); INSERT INTO t VALUES (1, NULL, 1)"
    before = begin(lab, f"- set_not_null: {{table: t, column: s, fill: {value}}}", tables=tables)
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT format('%s', s) FROM t") == written
    lab.back()
    assert (lab.dump(), lab.rows(ROWS)) == before


# --------------------------------------------------------------------------------------- when it binds


@pytest.mark.parametrize(
    ("operation", "phase"),
    [
        (FILL, Phase.BACKFILL),
        ("- set_not_null: {table: t, column: s, fill: open, enforce_at: contract}", Phase.CONTRACT),
    ],
)
def test_statistics_know_of_the_values_that_were_filled_in(lab: Lab, operation: str, phase: Phase) -> None:
    begin(lab, operation, ACKED if phase is Phase.BACKFILL else "")
    lab.run("ALTER TABLE t SET (autovacuum_enabled = off); ANALYZE t")
    nulls = "SELECT null_frac > 0 FROM pg_stats WHERE tablename = 't' AND attname = 's'"
    assert lab.value(nulls)
    lab.apply(phase)
    assert not lab.value(nulls)


@pytest.mark.either_version
def test_enforced_at_contract_the_old_application_may_write_null_until_then(lab: Lab) -> None:
    dump, rows = begin(lab, FILL.replace("open", "open, enforce_at: contract"), "contract: {keep_for: 1d}")
    lab.apply(Phase.SWITCH)
    lab.run("INSERT INTO t VALUES (100, NULL, 0)")
    assert lab.value(NULLS) == 14
    lab.apply(RETIRED)
    assert lab.value(NULLS) == 0
    assert lab.value("SELECT attnotnull FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 's'")
    lab.back()
    assert (lab.dump(), lab.rows(ROWS)) == (dump, [*rows, "(100,,0)"])


@pytest.mark.either_version
@pytest.mark.parametrize("operation", [FILL, FILL.replace(", fill: open", "")])
def test_a_constraint_that_rows_break_goes_again_and_names_them(lab: Lab, operation: str) -> None:
    """The application writes a NULL behind the verification: nothing NOT VALID is left to refuse its other writes."""
    dump, _ = begin(lab, operation, tables=T + ("" if "fill" in operation else "DELETE FROM t WHERE s IS NULL"))
    session = lab.session
    hook(lab, "INSERT INTO t VALUES (77, NULL, 0) ON CONFLICT DO NOTHING", step=".constraint.", message="Make")
    with pytest.raises(Refused, match=r"the data does not allow it.*rows: 77"):
        lab.apply(Phase.BACKFILL)
    assert lab.dump() == dump
    lab.run("UPDATE t SET n = 1 WHERE id = 77")  # an unrelated column of the row
    lab.session = session
    if "fill" not in operation:
        lab.run("DELETE FROM t WHERE id = 77")
    lab.finish()
    assert lab.value(NULLS) == 0


def test_nulls_that_keep_coming_are_counted_and_listed(lab: Lab) -> None:
    """A trigger of the application makes each of them NULL again; everything stays as it is until somebody looks."""
    trigger = (
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.s := NULL; RETURN NEW; END';"
        "CREATE TRIGGER no BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.id < 9) EXECUTE FUNCTION no()"
    )
    begin(lab, tables=T + trigger)
    with pytest.raises(Refused, match=r"2 of 40 rows of public.t still hold NULL in s: \(3\); \(6\)") as refused:
        lab.apply(Phase.BACKFILL)
    assert refused.value.exit_code == 3


# ---------------------------------------------------------------------------------------- what is told


def test_explain_and_status_say_what_is_kept_for_how_long_and_what_comes_back(lab: Lab) -> None:
    begin(lab)
    told = as_text(lab.program())
    assert "kept in osc.kept until contract ends" in " ".join(told.split())
    assert "point of no return  5.1 Forget what was kept of public.t.s; from here on nothing can be put back" in told
    assert "new application     from expand" in told
    assert "undo\n         WITH bounds" in told
    lab.apply(Phase.BACKFILL)
    (now,) = anyio.run(status, lab.session, lab.plan_id).changes
    assert now.way_back.why.endswith("gives rows that still hold what the fill wrote their old value back")
    assert now.point_of_no_return.startswith("Forget what was kept of public.t.s")
