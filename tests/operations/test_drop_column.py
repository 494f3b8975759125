"""drop_column: out of reach first, then gone; until then OLD and NEW both write, and every way back loses nothing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from osc.errors import Refused
from osc.program import Phase
from tests.operations.lab import RETIRED, Lab

KEEP = "contract: {keep_for: 1d}\n"
PLACES: tuple[Phase | str, ...] = (Phase.EXPAND, Phase.DUAL_WRITE, Phase.BACKFILL, Phase.SWITCH, RETIRED)
T = """
CREATE TABLE p (id integer PRIMARY KEY);
INSERT INTO p VALUES (1), (2);
CREATE TABLE t (id integer PRIMARY KEY, a varchar(9) COLLATE "C" NOT NULL CHECK (a <> ''), b integer DEFAULT 7,
    r integer REFERENCES p);
ALTER TABLE t ADD CONSTRAINT long CHECK (length(a) < 9) NOT VALID;
COMMENT ON CONSTRAINT long ON t IS 'for the label';
COMMENT ON COLUMN t.a IS 'printed';
ALTER TABLE t ALTER a SET STATISTICS 500;
GRANT SELECT (a) ON t TO PUBLIC;
CREATE UNIQUE INDEX t_lower ON t (lower(a)) WHERE a > 'm';
CREATE INDEX t_a ON t (a);
INSERT INTO t SELECT n, 'old ' || n, n, 1 + n % 2 FROM generate_series(1, 9) AS n;
"""
GIVEN = "- drop_column: {table: t, column: a, down: \"'new ' || id\"}"
NEW = "INSERT INTO t (id, b) VALUES ({0}, {0})"
OLD = "INSERT INTO t (id, a) VALUES ({0}, 'mine {0}')"


@pytest.fixture
def given(lab: Lab) -> Lab:
    """Give a plan that drops a NOT NULL column with everything on it."""
    lab.run(T)
    lab.write(GIVEN, KEEP)
    return lab


# --------------------------------------------------------------------------------------- whole changes


@pytest.mark.either_version
def test_both_applications_write_in_each_phase_and_the_way_back_from_each_loses_nothing(given: Lab) -> None:
    before = given.dump()
    for number, place in enumerate(PLACES, 1):
        given.apply(place)
        if isinstance(place, Phase):
            given.run(OLD.format(number * 10))
        if place is not Phase.EXPAND:
            given.run(NEW.format(number * 10 + 1))
            given.run(f"UPDATE t SET b = b + 1 WHERE id = {number}")
        rows = given.rows("SELECT t::text FROM t ORDER BY id")
        given.back()
        assert given.dump() == before, place
        assert given.rows("SELECT t::text FROM t ORDER BY id") == rows
    assert given.rows("SELECT a FROM t WHERE id > 9 ORDER BY id") == [
        "mine 10", "mine 20", "new 21", "mine 30", "new 31", "mine 40", "new 41", "new 51",
    ]  # fmt: skip
    assert given.rows("SELECT a FROM t WHERE id < 10 ORDER BY id") == [f"old {n}" for n in range(1, 10)]


@pytest.mark.either_version
def test_the_table_ends_as_if_the_column_was_dropped_by_hand(given: Lab) -> None:
    given.write(GIVEN)
    for phase in (*PLACES[:4], Phase.CONTRACT):
        given.apply(phase)
        assert given.drift_behind(Phase(phase)) == [], phase
    given.run(NEW.format(99))
    ours = given.dump()
    given.run(f"DROP TABLE t, p; {T} ALTER TABLE t DROP COLUMN a")
    assert given.dump() == ours


KINDS: dict[str, tuple[str, str, Any]] = {
    # the column, what its values are afterwards in a row that NEW inserts, where it is kept
    "nullable": ("a integer", "", None),
    "with a default": ("a integer NOT NULL DEFAULT 5 CHECK (a > 0)", "", 5),
    "serial": ("a bigserial UNIQUE", "", 10),
    "generated": ("b integer, a integer GENERATED ALWAYS AS (id * 2) STORED", "", 180),
    "json": ("a json NOT NULL DEFAULT '{}'", "", {}),
    "not null": ("a integer NOT NULL", ", down: id * 3", 270),
    "domain": ("a small NOT NULL", ", down: '4'", 4),
}


@pytest.mark.parametrize("name", KINDS)
def test_columns_of_every_kind_go_and_come_back(lab: Lab, name: str) -> None:
    column, down, value = KINDS[name]
    lab.run(f"CREATE DOMAIN small AS integer CHECK (VALUE < 9); CREATE TABLE t (id integer PRIMARY KEY, {column})")
    lab.run(
        "INSERT INTO t (id) SELECT n FROM generate_series(1, 9) AS n" if not down else "INSERT INTO t VALUES (1, 1)"
    )
    lab.write(f"- drop_column: {{table: t, column: a{down}}}", KEEP)
    before = lab.dump()
    lab.apply(RETIRED)
    lab.run("INSERT INTO t (id) VALUES (90)")
    lab.back()
    assert lab.dump() == before
    assert lab.value("SELECT a FROM t WHERE id = 90") == value


# -------------------------------------------------------------------------------------------- the value


def test_the_old_applications_writes_stand_as_written(given: Lab) -> None:
    given.apply(Phase.DUAL_WRITE)
    given.run("INSERT INTO t (id, a) VALUES (20, 'x') ON CONFLICT DO NOTHING; UPDATE t SET a = 'y' WHERE id = 1")
    given.run("INSERT INTO t (id, b) VALUES (2, 0) ON CONFLICT (id) DO UPDATE SET b = EXCLUDED.b")
    given.run("UPDATE t SET id = 30 WHERE id = 3")
    assert given.rows("SELECT a FROM t WHERE id IN (1, 2, 20, 30) ORDER BY id") == ["y", "old 2", "x", "old 3"]


@pytest.mark.parametrize(("column", "unnamed"), [("a text", None), ("a text NOT NULL DEFAULT 'none'", "none")])
def test_what_null_or_the_default_means_the_session_says(lab: Lab, column: str, unnamed: str | None) -> None:
    lab.run(f"CREATE TABLE t (id integer PRIMARY KEY, {column})")
    lab.write("- drop_column: {table: t, column: a, down: \"'n' || id\"}")
    assert [warning.code for warning in lab.compile().warnings] == ["V164"]
    lab.apply(Phase.DUAL_WRITE)
    lab.run("INSERT INTO t (id) VALUES (1); SET osc.writer = 'new'; INSERT INTO t (id) VALUES (2)")
    lab.run(
        "INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 1; UPDATE t SET id = id; RESET osc.writer"
    )
    assert lab.rows("SELECT a FROM t ORDER BY id") == [unnamed, "n2"]


RAISES = "- drop_column: {table: t, column: a, down: '(100 / b)::text'}"


@pytest.mark.either_version
def test_a_value_that_cannot_be_computed_refuses_the_row_while_old_lives_and_not_afterwards(lab: Lab) -> None:
    lab.run(T)
    lab.write(RAISES, KEEP)
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    with pytest.raises(psycopg.errors.DivisionByZero):
        lab.run("INSERT INTO t (id, b) VALUES (20, 0)")
    lab.apply(RETIRED)
    lab.run("INSERT INTO t (id, b) VALUES (20, 0), (21, 5)")
    with pytest.raises(Refused, match="the data does not allow it"):
        lab.back()
    retired = lab.value("SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 2")
    lab.run(f"UPDATE t SET \"{retired}\" = 'mended' WHERE id = 20")
    lab.back()
    assert lab.dump() == before
    assert lab.rows("SELECT a FROM t WHERE id > 9 ORDER BY id") == ["mended", "20"]


def test_what_the_columns_rules_refuse_goes_in_once_it_is_out_of_reach(lab: Lab) -> None:
    lab.run(T)
    lab.write(GIVEN.replace("new ", "far too long "), KEEP)
    lab.apply(Phase.SWITCH)
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        lab.run(NEW.format(20))
    lab.apply(RETIRED)
    lab.run(NEW.format(20))
    lab.run("DELETE FROM t WHERE id = 20")
    lab.back(Phase.SWITCH)
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        lab.run(NEW.format(20))


def test_a_row_inserted_between_the_trigger_and_the_column_is_not_refused(given: Lab) -> None:
    """In contract the trigger goes first; the column may wait for its lock a long time after it."""
    given.apply(RETIRED)
    [trigger] = given.rows("SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal")
    given.run(f'DROP TRIGGER "{trigger}" ON t')
    given.run(NEW.format(20))


# ----------------------------------------------------------------------------------- with other operations

TWO = """
- change_column: {table: t, column: b, to: n, type: bigint}
- drop_column: {table: t, column: a, down: "'b ' || coalesce(b, 0)"}
- drop_column: {table: t, column: r}
- add_column: {table: t, column: s, type: text, up: upper(a)}
"""


@pytest.mark.either_version
def test_one_trigger_serves_all_operations_of_a_table(lab: Lab) -> None:
    lab.run(T)
    lab.write(TWO, KEEP)
    before = lab.dump()
    lab.apply(Phase.DUAL_WRITE)
    assert lab.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal") == 1
    lab.run("INSERT INTO t (id, n) VALUES (20, 3); INSERT INTO t (id, a, b) VALUES (21, 'mine', 4)")
    assert lab.rows("SELECT a, b, n, s FROM t WHERE id > 9 ORDER BY id") == [
        ("b 3", 3, 3, "B 3"),
        ("mine", 4, 4, "MINE"),
    ]
    lab.apply(RETIRED)
    lab.run("INSERT INTO t (id, n) VALUES (22, 5)")
    assert lab.rows("SELECT s FROM t WHERE id IN (1, 22) ORDER BY id") == ["OLD 1", "B 5"]
    lab.back()
    assert lab.dump() == before
    assert lab.rows("SELECT a, b FROM t WHERE id > 9 ORDER BY id") == [("b 3", 3), ("mine", 4), ("b 5", 5)]
    lab.write(TWO)
    lab.apply(Phase.CONTRACT)
    assert lab.drift_behind(Phase.CONTRACT) == []
    assert lab.rows("SELECT id, n, s FROM t WHERE id IN (1, 22) ORDER BY id") == [(1, 1, "OLD 1"), (22, 5, "B 5")]


def test_two_tables_that_refer_to_each_other_retire_each_its_own(lab: Lab) -> None:
    lab.run(T)
    lab.write("- rename_column: {table: p, column: x, to: y}\n- drop_column: {table: t, column: r}", KEEP)
    lab.run("ALTER TABLE p ADD x integer")
    before = lab.dump()
    retiring = [step.title for step in lab.compile().program.phase(Phase.CONTRACT).steps if ".retire." in step.id]
    assert [title.count("out of reach") for title in retiring] == [1, 1]
    lab.apply(RETIRED)
    lab.back()
    assert lab.dump() == before


def test_explain_says_when_which_application_works(lab: Lab) -> None:
    lab.run(T)
    lab.write(GIVEN, KEEP)
    program = lab.compile().program
    assert program.new_application_from.startswith("dual_write")
    assert program.old_application_until == "contract"
    assert program.point_of_no_return == program.phase(Phase.CONTRACT).steps[-4].id
    assert program.one_way_after is None
    assert any("osc_old_" in note for note in program.notes)
    lab.write("- drop_column: {table: t, column: b}", KEEP)
    assert lab.compile().program.new_application_from == "expand"


# ------------------------------------------------------------------------------------- what goes along

SHARED = """
CREATE INDEX two ON t (b, a); ALTER TABLE t ADD CONSTRAINT less CHECK (length(a) > b - 99);
ALTER TABLE t ADD CONSTRAINT pair UNIQUE (a, b); CREATE STATISTICS corr ON a, b FROM t;
CREATE INDEX half ON t (id) WHERE a > 'k'
"""


@pytest.mark.either_version
def test_what_covers_other_columns_goes_only_where_the_plan_names_it(lab: Lab) -> None:
    lab.run(T + SHARED)
    lab.write(GIVEN)
    assert [line.split(" covers")[0] for line in lab.refusal()] == [
        "C235 constraint less", "C235 constraint pair", "C235 index half", "C235 index two", "C235 statistics public.corr",
    ]  # fmt: skip
    lab.write(GIVEN.replace("}", ", also_drop: [less, pair, half, two, corr]}"), KEEP)
    before = lab.dump()
    lab.apply(RETIRED)
    lab.back()
    assert lab.dump() == before
    lab.write(GIVEN.replace("}", ", also_drop: [less, pair, half, two, corr]}"))
    lab.apply(Phase.CONTRACT)
    assert lab.drift_behind(Phase.CONTRACT) == []
    assert not [name for name in ("less", "pair", "half", "two", "corr") if f" {name} " in lab.dump()]


# ----------------------------------------------------------------------------------------- refusals

B = "CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer);"
DROP = "- drop_column: {table: t, column: a}"
FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {} RETURN NEW; END$$;"
TRIGGER = "CREATE TRIGGER g {} ON t FOR EACH ROW {} EXECUTE FUNCTION f()"

REFUSED: dict[str, tuple[str, str, str]] = {
    "missing": (B, DROP.replace("column: a", "column: bb"), "C211 column public.t.bb does not exist; did you mean b?"),
    "system column": (B, DROP.replace("column: a", "column: xmin"), "C211 xmin is a system column"),
    "primary key": (B, "- drop_column: {table: t, column: id, down: '1'}", "C215 index t_pkey on public.t.id is the primary"),
    "identity": (B + "ALTER TABLE t ALTER a SET NOT NULL, ALTER a ADD GENERATED ALWAYS AS IDENTITY", DROP, "C214 public.t.a"),
    "domain that refuses NULL": (
        "CREATE DOMAIN d AS integer NOT NULL; CREATE TABLE t (id integer PRIMARY KEY, a d)", DROP, "C223 public.t.a is of"),
    "referenced": (
        B + "ALTER TABLE t ADD UNIQUE (a); CREATE TABLE c (a integer REFERENCES t (a))", DROP,
        "C217 foreign key c_a_fkey of public.c refers to public.t.a"),
    "view": (B + "CREATE VIEW v AS SELECT a FROM t", DROP, "C218 view public.v uses public.t.a"),
    "materialized view": (B + "CREATE MATERIALIZED VIEW m AS SELECT a FROM t", DROP, "C218 materialized view public.m"),
    "policy": (B + "CREATE POLICY p ON t USING (a > 0)", DROP, "C218 policy p ON public.t uses public.t.a"),
    "generated from it": (
        B + "ALTER TABLE t ADD g integer GENERATED ALWAYS AS (a + 1) STORED", DROP, "C218 generated column public.t.g"),
    "SQL body": (
        B + "CREATE FUNCTION n() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(a) FROM t; END", DROP,
        "C218 function public.n() uses public.t.a"),
    "column list": (B + "CREATE PUBLICATION p FOR TABLE t (id, a)", DROP, "C219 publication p names public.t.a"),
    "row filter": (
        B + "CREATE PUBLICATION p FOR TABLE t WHERE (a > 0) WITH (publish = 'insert')", DROP, "C219 publication p names"),
    "trigger UPDATE OF": (
        B + FUNCTION.format("") + TRIGGER.format("BEFORE UPDATE OF a", ""), DROP, "C212 trigger g on public.t mentions a"),
    "trigger WHEN": (
        B + FUNCTION.format("") + TRIGGER.format("BEFORE INSERT", "WHEN (NEW.a > 0)"), DROP, "C212 trigger g on public.t"),
    "trigger's body": (
        B + FUNCTION.format("NEW.b := NEW.a;") + TRIGGER.format("BEFORE INSERT", ""), DROP, "C212 trigger g on public.t"),
    "replica identity": (
        B + "ALTER TABLE t ALTER a SET NOT NULL; CREATE UNIQUE INDEX i ON t (a); ALTER TABLE t REPLICA IDENTITY USING INDEX i",
        DROP.replace("}", ", down: id}"), "C215 index i on public.t.a is the replica identity"),
    "check over the whole row": (
        B + "ALTER TABLE t ADD CONSTRAINT w CHECK (t IS NOT NULL)", DROP, "C216 constraint w on public.t.a"),
    "inheritance": (B + "CREATE TABLE u () INHERITS (t)", DROP, "C130 public.t"),
    "exclusion over two": (
        B + "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING btree (a WITH =, b WITH =)", DROP, "C235 constraint x covers"),
    "INCLUDE": (B + "CREATE INDEX i ON t (b) INCLUDE (a)", DROP, "C235 index i covers other columns than public.t.a"),
    "named for nothing": (
        B + "CREATE INDEX i ON t (a)", DROP.replace("}", ", also_drop: [i]}"), "C236 i is nothing that covers public.t.a"),
    "no value": (B + "ALTER TABLE t ALTER a SET NOT NULL", DROP, "V158 public.t.a is NOT NULL without a default"),
    "a check that refuses NULL": (
        B + "ALTER TABLE t ADD CONSTRAINT k CHECK (a IS NOT NULL)", DROP, "C237 constraint k refuses what a row has"),
    "a check that refuses the default": (
        B + "ALTER TABLE t ALTER a SET DEFAULT 0, ADD CONSTRAINT k CHECK (a > 0)", DROP, "C237 constraint k refuses what"),
    "down reads the column": (
        B + "ALTER TABLE t ALTER a SET NOT NULL", DROP.replace("}", ", down: a + 1}"), "V159 down reads a"),
    "down of another type": (
        B + "ALTER TABLE t ALTER a SET NOT NULL", DROP.replace("}", ", down: now()}"), "C230"),
    "down that is not immutable": (
        B + "ALTER TABLE t ALTER a SET NOT NULL", DROP.replace("}", ", down: 'random()::integer'}"), "C230"),
    "down reads a generated column": (
        B + "ALTER TABLE t ALTER a SET NOT NULL; ALTER TABLE t ADD g integer GENERATED ALWAYS AS (b) STORED",
        DROP.replace("}", ", down: g}"), "C213 down of public.t.a reads g, a generated column"),
    "down reads what goes as well": (
        B, DROP.replace("}", ", down: b}\n- drop_column: {table: t, column: b}"), "V156 down of public.t.a reads b"),
    "changed as well": (
        B, DROP + "\n- change_column: {table: t, column: b, to: a, type: bigint}", "V131 column public.t.a is dropped"),
    "changed before": (
        B, "- change_column: {table: t, column: a, type: bigint, up: a, down: a::int}\n" + DROP,
        "V131 column public.t.a is dropped"),
    "its name is in use until contract": (B, DROP + "\n- add_column: {table: t, column: a, type: text}", "V131 column"),
    "indexed before": (B, "- create_index: {table: t, name: i, columns: [a]}\n" + DROP, "C234 i on public.t.a"),
    "made before": (
        B, "- add_column: {table: t, column: n, type: text}\n- drop_column: {table: t, column: n}", "V131 column public.t.n"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_is_refused_by_name_before_the_first_write(lab: Lab, name: str) -> None:
    before, plan, finding = REFUSED[name]
    lab.run(before)
    lab.write(plan)
    assert any(line.startswith(finding) for line in lab.refusal()), lab.refusal()


def test_all_that_stands_in_the_way_is_listed_at_once(lab: Lab) -> None:
    lab.run(B + "CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM t; CREATE INDEX i ON t (a, b)")
    lab.write(DROP)
    assert [line[:4] for line in lab.refusal()] == ["C218", "C218", "C235"]
