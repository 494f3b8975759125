"""F47, F65, F75, F77, F97, I28: what would silently do something else with what osc writes is refused by name.

Apart from tests/operations/test_refusals.py, which holds what cannot go along with a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import InvalidPlan, Refused
from osc.program import Phase

if TYPE_CHECKING:
    from tests.operations.lab import Lab

T = "CREATE TABLE t (id integer PRIMARY KEY, a integer, c integer); INSERT INTO t SELECT n, n, n FROM generate_series(1, 9) n;"
CHANGE = "- change_column: {table: t, column: a, to: n, type: bigint}"
STORED = T + "ALTER TABLE t ADD g integer GENERATED ALWAYS AS (c + 1) STORED"
VIRTUAL = STORED.replace("STORED", "VIRTUAL")
KINDS = "CREATE TABLE u (id integer PRIMARY KEY, a integer, big text);"

REFUSED: dict[str, tuple[str, str, str]] = {
    # ------------------------------------------------------- rules rewrite what is written (F75)
    "rule DO INSTEAD": (T + "CREATE RULE r AS ON UPDATE TO t DO INSTEAD NOTHING", CHANGE, "C206 rule r ON public.t"),
    "rule DO ALSO": (
        T + "CREATE TABLE log (x int); CREATE RULE r AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES (1)",
        CHANGE, "C206 rule r ON public.t",
    ),
    "rule for inserts": (
        T + "CREATE TABLE log (x int); CREATE RULE r AS ON INSERT TO t DO INSTEAD INSERT INTO log VALUES (1)",
        CHANGE, "C206 rule r ON public.t",
    ),
    # ------------------------------------- generated columns, which a BEFORE trigger sees empty (F47)
    "up reads a stored one": (
        STORED, "- change_column: {table: t, column: a, to: n, type: bigint, up: a + g, down: 'n::int'}",
        "C213 up of public.t.n reads g, a generated column, which no trigger sees; write what it is made of instead: (c + 1)",
    ),
    "up reads a virtual one": (
        VIRTUAL, "- change_column: {table: t, column: a, to: n, type: bigint, up: a + t.g, down: 'n::int'}",
        "C213 up of public.t.n reads g",
    ),
    "down reads one": (
        STORED, "- change_column: {table: t, column: a, to: n, type: bigint, up: 'a::bigint', down: (n - g + g)::int}",
        "C213 down of public.t.n reads g",
    ),
    "up of a new column reads one": (
        STORED, "- add_column: {table: t, column: x, type: bigint, up: g * 2}", "C213 up of public.t.x reads g",
    ),
    "an index on a virtual one": (
        VIRTUAL, "- create_index: {table: t, name: i, columns: [g]}",
        "C213 public.t.g is a virtual generated column, which no index can read",
    ),
    "a predicate over a virtual one": (
        VIRTUAL, "- create_index: {table: t, name: i, columns: [c], where: g > 1}", "C213 public.t.g is a virtual",
    ),
    "a virtual one itself": (VIRTUAL, "- rename_column: {table: t, column: g, to: h}", "C213 public.t.g is a generated"),
    # -------------------------------------------- publications in which every UPDATE fails (B46)
    "a row filter beyond the replica identity": (
        T + "CREATE PUBLICATION p FOR TABLE t WHERE (c > 0)", CHANGE, "C260 publication p publishes updates of public.t",
    ),
    "a column list short of the replica identity": (
        T + "ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE t (id, c)", CHANGE, "C260 publication p",
    ),
    "all tables": (
        T + "ALTER TABLE t REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR ALL TABLES", CHANGE, "C260 publication p",
    ),
    "all tables of a schema": (
        "CREATE TABLE t (id integer NOT NULL UNIQUE, a integer); CREATE PUBLICATION p FOR TABLES IN SCHEMA public",
        CHANGE, "C260 publication p",
    ),
    # ------------------------------------------------------------------- what is no table (F75)
    "materialized view": (KINDS + "CREATE MATERIALIZED VIEW t AS SELECT * FROM u", CHANGE, "C202 public.t is a materialized"),
    "sequence": ("CREATE SEQUENCE t", CHANGE, "C202 public.t is a sequence"),
    "index": (KINDS + "CREATE INDEX t ON u (a)", CHANGE, "C202 public.t is an index"),
    "composite type": ("CREATE TYPE t AS (id integer, a integer)", CHANGE, "C202 public.t is a type"),
    "view with INSTEAD OF triggers": (
        KINDS + "CREATE VIEW t AS SELECT * FROM u; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; "
        "END$$; CREATE TRIGGER g INSTEAD OF UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        CHANGE, "C202 public.t is a view",
    ),
    "foreign table": (
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE t (a integer) SERVER s",
        CHANGE, "C202 public.t is a foreign table",
    ),
    "child by inheritance": (
        "CREATE TABLE p (id integer PRIMARY KEY, a integer); CREATE TABLE t (PRIMARY KEY (id)) INHERITS (p)", CHANGE, "C130 public.t",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name_before_the_first_write(lab: Lab, name: str) -> None:
    before, operations, expected = REFUSED[name]
    lab.run(before)
    lab.write(operations)
    found = lab.refusal()
    if name == "foreign table":
        lab.run("DROP FOREIGN DATA WRAPPER w CASCADE")
    assert any(line.startswith(expected) for line in found), found


def test_a_toast_table_is_no_target(lab: Lab) -> None:
    lab.run(KINDS)
    toast = lab.value("SELECT reltoastrelid::regclass::text FROM pg_class WHERE relname = 'u'")
    lab.write(CHANGE.replace("table: t", f"table: {toast}"))
    assert lab.refusal()[0].startswith(("C202", "C203"))


def test_a_rule_of_another_table_that_writes_here_is_no_obstacle(lab: Lab) -> None:
    lab.run(T + "CREATE TABLE u (x int); CREATE RULE r AS ON INSERT TO u DO ALSO UPDATE t SET c = NEW.x WHERE id = 1")
    lab.write(CHANGE)
    lab.apply(Phase.BACKFILL)
    lab.run("INSERT INTO u VALUES (77)")
    lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT n, c FROM t WHERE id = 1") == [(1, 77)]


def test_a_generated_column_of_the_key_is_read_as_any_other(lab: Lab) -> None:
    lab.run("CREATE TABLE t (x integer, a integer, id integer GENERATED ALWAYS AS (x + 1) STORED PRIMARY KEY);"
            "INSERT INTO t (x, a) SELECT n, n FROM generate_series(1, 30) AS n")  # fmt: skip
    lab.write(CHANGE)
    lab.apply(Phase.CONTRACT)
    assert lab.value("SELECT count(*) FROM t WHERE n = x") == 30


@pytest.mark.parametrize("kind", ["sync", "restore"])
def test_a_function_of_somebody_else_under_our_name_is_not_touched(lab: Lab, kind: str) -> None:
    """CREATE OR REPLACE would have put our body into it, and the end of the change would have dropped it (I28)."""
    lab.run(T + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;"
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()")  # fmt: skip
    lab.write(CHANGE)
    step = next(one for one in lab.compile().program.steps() if f"{kind}_trigger" in one.id)
    name = step.sql[0].partition("FUNCTION ")[2].partition("(")[0]  # type: ignore[union-attr]
    lab.run(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'mine'; END$$")
    with pytest.raises(Refused, match="exists already"):
        lab.apply(Phase.DUAL_WRITE)
    lab.back()
    assert "mine" in lab.value(f"SELECT prosrc FROM pg_proc WHERE oid = '{name}'::regproc")


UNSPEAKABLE = {
    "NUL": "a\\0b",
    "escape": "a\\eb",
    "newline": "a\\nb",
    "direction": "a\\u202Eb",
    "64 bytes": "x" * 64,
    "64 bytes of two": "é" * 32,
    "empty": "",
}


@pytest.mark.parametrize("field", ["table", "column", "to"])
@pytest.mark.parametrize("name", UNSPEAKABLE)
def test_a_name_that_the_server_would_cut_or_a_terminal_obey_is_refused(lab: Lab, name: str, field: str) -> None:
    lab.run(T)
    keys = {"table": "t", "column": "a", "to": "n", "type": "bigint", field: f'"{UNSPEAKABLE[name]}"'}
    lab.write(f"- change_column: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}")
    with pytest.raises(InvalidPlan) as refused:
        lab.compile()
    assert refused.value.exit_code == 2
    assert all(one.place is not None and "\x1b" not in one.line() for one in refused.value.findings)
