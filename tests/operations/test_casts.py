"""What is known of casts without a server: never cut silently, never called safe when it is not."""

from __future__ import annotations

import pytest

from osc.catalog import Column, Index, Table
from osc.names import QName
from osc.operations import belongings, casts
from osc.operations.nullability import automatic_name

LIMITS = {
    ("integer", "bigint"): "",
    ("bigint", "integer"): "{value} BETWEEN -2147483648 AND 2147483647",
    ("character varying(10)", "text"): "",
    ("character varying(10)", "character varying(10)"): "",
    ("character varying(10)", "character varying(20)"): "",
    ("text", "character varying(10)"): None,
    ("numeric(10,2)", "numeric(12,2)"): "",
    ("numeric(10,2)", "numeric(12,4)"): None,
    ("integer", "numeric(10,0)"): "",
    ("integer", "numeric(5,0)"): None,
    ("integer", "double precision"): "",
    ("text", "integer"): None,
}


@pytest.mark.parametrize(("old", "new"), LIMITS)
def test_within_which_limit_a_cast_cannot_fail(old: str, new: str) -> None:
    assert casts.cast_limit(old, new) == LIMITS[old, new]


def test_a_value_of_an_enum_always_becomes_text() -> None:
    assert casts.cast_limit("public.mood", "text", from_kind="e") == ""
    assert casts.cast_limit("public.mood", "text") is None


APART = {
    ("integer", "bigint"): True,
    ("bigint", "integer"): True,
    ("text", "character varying(10)"): True,
    ("uuid", "text"): True,
    ("text", "uuid"): False,
    ("numeric(10,2)", "numeric(12,2)"): True,
    ("numeric(10,2)", "numeric(10,4)"): False,
    ("numeric", "integer"): False,
    ("text", "integer"): False,
    ("timestamp without time zone", "date"): False,
}


@pytest.mark.parametrize(("old", "new"), APART)
def test_whether_different_values_stay_different(old: str, new: str) -> None:
    assert casts.keeps_values_apart(old, new) is APART[old, new]


SPELLED = {
    ("text", "character varying(3)"): '"a"::character varying',
    ("text", "character(3)"): '"a"::pg_catalog.bpchar',
    ("bigint", "bit(3)"): '"a"::bit varying',
    ("integer", "numeric(5,2)"): '"a"::numeric(5,2)',
    ("integer", "bigint"): '"a"::bigint',
    ("integer", "int4"): '"a"',
}


@pytest.mark.parametrize(("old", "new"), SPELLED)
def test_a_cast_that_was_left_out_never_cuts_a_value(old: str, new: str) -> None:
    assert casts.cast("a", old, new) == SPELLED[old, new]


DEFAULTS = {
    ("integer", "0", "bigint"): "0",
    ("integer", "'-5'::integer", "bigint"): "'-5'",
    ("character varying", "'x'::character varying", "text"): "'x'",
    ("integer", "(1 + 1)", "bigint"): "(((1 + 1))::integer)::bigint",
    ("text", "('a'::text || 'b'::text)", "character varying"): "((('a'::text || 'b'::text))::text)::character varying",
    ("numeric(10,2)", "1.5", "text"): "((1.5)::numeric(10,2))::text",
    ("integer", "nextval('s'::regclass)", "bigint"): "nextval('s'::regclass)",
}


@pytest.mark.parametrize(("old", "default", "new"), DEFAULTS)
def test_a_default_reads_as_if_written_for_the_new_type(old: str, default: str, new: str) -> None:
    carried = casts.carried_default(Column(name="a", number=1, type=old, default=default), new)
    assert carried == DEFAULTS[old, default, new]


NAMES = {
    ("t", "a"): "t_a_not_null",
    ("t" * 60, "a"): "t" * 52 + "_a_not_null",
    ("t" * 40, "c" * 40): "t" * 27 + "_" + "c" * 26 + "_not_null",
}


@pytest.mark.parametrize(("table", "column"), NAMES)
def test_a_not_null_is_called_as_the_server_would_call_it(table: str, column: str) -> None:
    name = automatic_name(table, column, "not_null")
    assert name == NAMES[table, column]
    assert len(name) <= 63


def test_an_index_stays_in_its_tablespace() -> None:
    index = Index(
        name="i", after_on="USING btree (a) WITH (fillfactor='70') WHERE (b > 3)", columns=("a",), uses=("a", "b"),
        expression_references={"b": 1}, tablespace="Fast",
    )  # fmt: skip
    table = Table(oid=1, name=QName("public", "t"), indexes=(index,))
    [twin] = belongings.index_twins(table, "a", "n", final="n", helper=False, taken=frozenset())
    assert twin.on.endswith("""USING btree ("n") WITH (fillfactor='70') TABLESPACE "Fast" WHERE (b > 3)""")


def test_an_index_gets_no_name_that_another_relation_has() -> None:
    index = Index(name="t_a_idx", after_on="USING btree (a)", columns=("a",), uses=("a",))
    table = Table(oid=1, name=QName("public", "t"), indexes=(index,))
    [free] = belongings.index_twins(table, "a", "n", final="n", helper=False, taken=frozenset())
    [other] = belongings.index_twins(table, "a", "n", final="n", helper=False, taken=frozenset({"t_n_idx"}))
    assert free.name == "t_n_idx"
    assert other.name != "t_n_idx"
