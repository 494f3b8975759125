"""F79, F97, T15: names of every shape for everything that has one, in whole changes; the same name in two schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from osc.names import quote
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.session import Session
from tests.hostile.sweep import sample
from tests.operations.lab import QUICK

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect
    from tests.operations.lab import Lab

ODD = ["""a"b \\ %(x)s 'c' $1 .{y} --é;/*""", 'a"b', "100%", "a\\b", "it's", "Ünï→😀", "MiXeD", "two  words", "select", "x" * 63, "é" * 31,
       "$1", "%(x)s", "a.b", "-- x", "{y}", "osc", "tg_op", "user", "found", "null"]  # fmt: skip


def text(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def other(name: str, end: str) -> str:
    """Return another name that begins like ``name`` and has at most 63 bytes."""
    return name.encode()[: 63 - len(end)].decode(errors="ignore") + end


@pytest.mark.parametrize("name", sample(ODD, (ODD[0], "x" * 63)))
def test_a_whole_change_of_things_that_are_called_anything(lab: Lab, name: str) -> None:
    schema, to = quote(other(name, " s")), other(name, " to")
    table, column = f"{schema}.{quote(name)}", quote(name)
    lab.run(f"""CREATE SCHEMA {schema};
        CREATE TABLE {table} (id int PRIMARY KEY, {column} integer DEFAULT 5 NOT NULL CHECK ({column} > -9), b text);
        CREATE INDEX {quote(other(name, " i"))} ON {table} ({column}, b);
        CREATE FUNCTION {table}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.b := 'touched'; RETURN NEW; END$$;
        CREATE TRIGGER {quote(name if name[0] < "~" else f"a {name}"[:9])} BEFORE UPDATE ON {table}
            FOR EACH ROW EXECUTE FUNCTION {table}();
        INSERT INTO {table} SELECT n, n, 'b' FROM generate_series(1, 50) AS n""")
    lab.write(f"""\
- change_column: {{table: {text(table)}, column: {text(name)}, to: {text(to)}, type: bigint}}
- create_index: {{table: {text(table)}, name: {text(other(name, " j"))}, columns: [{text(to)}]}}""")
    before = lab.dump()
    for phase in [*Phase][:4]:
        lab.apply(phase)
        assert lab.drift_behind(phase) == []
    lab.back()
    assert sorted(lab.dump().splitlines()) == sorted(before.splitlines())
    lab.apply(Phase.CONTRACT)
    assert lab.value(f"SELECT count(*) FROM {table} WHERE {quote(to)} = id AND b = 'b'") == 50


def test_databases_and_roles_may_be_called_anything(lab: Lab, connect: Connect) -> None:
    name = """we"ird \\ %s'db é"""
    for statement in ("CREATE DATABASE {0}", "CREATE ROLE {0} LOGIN", "ALTER DATABASE {0} OWNER TO {0}"):
        lab.run(statement.format(quote(name)))
    dsn = make_conninfo(lab.dsn, dbname=name, user=name)
    owner = connect(dsn)
    try:
        owner.execute(
            "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a int); INSERT INTO app.t VALUES (1, 1)"
        )
        lab.session = Session(Target.resolve(dsn), settings=QUICK, who=name)
        lab.write("- change_column: {table: app.t, column: a, to: n, type: bigint}")
        lab.apply(Phase.CONTRACT)
        assert owner.execute("SELECT * FROM app.t").fetchall() == [(1, 1)]
        assert owner.execute("SELECT count(*) FROM osc.event WHERE who = %s", [name]).fetchall() > [(0,)]
    finally:
        owner.close()
        lab.run(f"DROP DATABASE {quote(name)} WITH (FORCE)")
        lab.run(f"DROP ROLE {quote(name)}")


def test_one_plan_for_tables_of_one_name_in_two_schemas_touches_each_by_itself(lab: Lab) -> None:
    lab.run("CREATE SCHEMA app; CREATE SCHEMA other")
    for schema, sign in (("public", "+"), ("app", "-"), ("other", "-")):
        lab.run(f"CREATE TABLE {schema}.t (id integer PRIMARY KEY, a integer); CREATE INDEX t_a ON {schema}.t (a);"
                f"INSERT INTO {schema}.t SELECT n, {sign}n FROM generate_series(1, 30) AS n")  # fmt: skip
    change = "- change_column: {{table: {}, column: a, to: n, type: bigint}}"
    lab.write(f"{change.format('t')}\n{change.format('app.t')}")
    lab.apply(Phase.DUAL_WRITE)
    lab.run("UPDATE app.t SET a = -100 WHERE id = 1; UPDATE public.t SET a = 100 WHERE id = 1")
    lab.apply(Phase.CONTRACT)
    assert lab.rows(
        "SELECT sum(n) FROM public.t UNION ALL SELECT sum(n) FROM app.t UNION ALL SELECT sum(a) FROM other.t"
    ) == [564, -564, -465]


@pytest.mark.parametrize("name", ["pg_class", "pg_trigger"])
def test_a_table_called_like_one_of_the_catalog_shadows_nothing(lab: Lab, name: str) -> None:
    lab.run(f"CREATE TABLE public.{name} (id integer PRIMARY KEY, a varchar(9));"
            f"INSERT INTO public.{name} SELECT n, n FROM generate_series(1, 30) AS n")  # fmt: skip
    lab.write(f"- change_column: {{table: public.{name}, column: a, to: n, type: text, up: lower(a), down: n}}")
    lab.apply(Phase.CONTRACT)
    assert lab.value(f"SELECT count(*) FROM public.{name} WHERE n = id::text") == 30


def test_two_tables_whose_names_differ_behind_the_63rd_byte_of_ours_do_not_collide(lab: Lab) -> None:
    first, second = "a" * 62 + "1", "a" * 62 + "2"
    for table in (first, second):
        lab.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, a integer); CREATE INDEX ON {table} (a);"
                f"INSERT INTO {table} SELECT n, n FROM generate_series(1, 9) AS n")  # fmt: skip
    lab.write("\n".join(f"- change_column: {{table: {table}, column: a, type: bigint}}" for table in (first, second)))
    lab.apply(Phase.SWITCH)
    lab.run(f"UPDATE {first} SET a = 70; UPDATE {second} SET a = 71")
    lab.apply(Phase.CONTRACT)
    assert lab.rows(f"SELECT DISTINCT a FROM {first} UNION ALL SELECT DISTINCT a FROM {second}") == [70, 71]


def test_the_last_column_number_is_counted_before_the_first_write(lab: Lab) -> None:
    """1600 with dropped ones: two are needed, one for each pair, and the plan says so before expand (F97)."""
    lab.run("CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer)")
    lab.run("DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE t ' || string_agg(format('ADD x%s integer', n), ', ')"
            " FROM generate_series(1, 1595) AS n); END $$; ALTER TABLE t DROP x7, DROP x8")  # fmt: skip
    pair = "- change_column: {{table: t, column: {}, to: {}, type: bigint}}"
    lab.write("\n".join((pair.format("a", "m"), pair.format("b", "n"))))
    assert any("C245" in line for line in lab.refusal())
    lab.write(pair.format("a", "m"))
    lab.apply(Phase.CONTRACT)
    assert lab.value("SELECT max(attnum) FROM pg_attribute WHERE attrelid = 't'::regclass") == 1599
