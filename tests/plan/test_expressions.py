"""The lexical scan reads SQL as PostgreSQL does, and the form of an expression is decided by it alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from osc.operations.expressions import Expression, SqlText, identifiers, rewrite_column, tokens

SCANS = {
    "a::int": ["a", "::", "int"],
    "a -- b\n+ c": ["a", "+", "c"],
    "a /* ; /* nested ) */ ; */ + b": ["a", "+", "b"],
    "'it''s; )'": ["'it''s; )'"],
    r"'a\' || b": [r"'a\'", "||", "b"],
    r"E'a\'b' || c": [r"E'a\'b'", "||", "c"],
    'e\'x\'"y""z"': ["e'x'", '"y""z"'],
    "$$ ; ' $$ || $a$ $$ $a$": ["$$ ; ' $$", "||", "$a$ $$ $a$"],
    "a$b$ + $1": ["a$b$", "+", "$1"],
    "doc #>> '{a}'": ["doc", "#>>", "'{a}'"],
    "1.5e-3 - .5 -1": ["1.5e-3", "-", ".5", "-", "1"],
    "a-/*x*/-b": ["a", "-", "-", "b"],
    "b[1:2].c": ["b", "[", "1", ":", "2", "]", ".", "c"],
    "Ärger\u00a0x": ["Ärger\u00a0x"],
}


@pytest.mark.parametrize(("sql", "expected"), SCANS.items(), ids=SCANS)
def test_tokens(sql: str, expected: list[str]) -> None:
    found = tokens(sql)
    assert [token.text for token in found] == expected
    assert all(sql[token.start : token.end] == token.text for token in found)


def code_of(kind: type[Expression] | type[SqlText], text: str) -> str | None:
    try:
        kind(text)
    except PydanticCustomError as refused:
        return refused.type
    return None


EXPRESSIONS = {
    "a::bigint": None, "CASE WHEN a THEN b END": None, "f(a, b)": None, "ARRAY[1, 2]": None, "';'": None, "a": None,
    "": "V121", "  \n": "V121", "-- a": "V121", "/* a */": "V121",
    "a;": "V120", "a; drop table t": "V120", "a, b": "V121",
    "(a": "V121", "a)": "V121", "(a]": "V121", "1); drop table t; --": "V121", "x) stored, evil int default (1": "V121",
    "'a": "V121", r"E'a\'": "V121", '"a': "V121", "$a$ b": "V121", "a /* b": "V121", "a /* /* */": "V121",
    "a \\ b": "V121", 'U&"a"': "V121", "a{1}": "V121",
    "a\0": "P019", "a\u202eb": "P019", "'\ud800'": "P019",
}  # fmt: skip


@pytest.mark.parametrize(("sql", "code"), EXPRESSIONS.items(), ids=map(ascii, EXPRESSIONS))
def test_the_form_of_an_expression(sql: str, code: str | None) -> None:
    assert code_of(Expression, sql) == code


STATEMENTS = {
    "SELECT 1": None, "SELECT 1;": None, "SELECT 1;; -- done": None, "CREATE FUNCTION f() AS $$ a; b $$": None,
    "SELECT a, b": None, ";": "V121", "SELECT 1; SELECT 2": "V120", "commit": "V122", "BEGIN": "V122",
    "Rollback to x": "V122", "SELECT (1": "V121",
}  # fmt: skip


@pytest.mark.parametrize(("sql", "code"), STATEMENTS.items(), ids=STATEMENTS)
def test_the_form_of_a_statement(sql: str, code: str | None) -> None:
    assert code_of(SqlText, sql) == code


def test_nothing_is_left_at_the_end_that_could_swallow_what_follows() -> None:
    assert Expression(" /* x */ a::int -- why\n") == "a::int"
    assert SqlText("SELECT 1 -- why\n ; -- done") == "SELECT 1"


REWRITES = {
    "(abalance > 0)": ('("b c" > 0)', 1),
    "abalance + Abalance + \"abalance\"": ('"b c" + "b c" + "b c"', 3),
    "(a.abalance, abalance.x, abalance(1), x::abalance)": ("(a.abalance, abalance.x, abalance(1), x::abalance)", 0),
    "'abalance' || $$abalance$$ /* abalance */": ("'abalance' || $$abalance$$ /* abalance */", 0),
    'x COLLATE "abalance" = abalance COLLATE "C"': ('x COLLATE "abalance" = "b c" COLLATE "C"', 1),
    '"ABALANCE" || abalance2': ('"ABALANCE" || abalance2', 0),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), REWRITES.items(), ids=REWRITES)
def test_rewrite_column_counts_what_it_replaces(sql: str, expected: tuple[str, int]) -> None:
    assert rewrite_column(sql, "abalance", "b c") == expected


def test_identifiers_are_folded_as_the_server_folds_them() -> None:
    assert identifiers("A || \"B\" || Äx || 'c'") == {"a", "B", "Äx"}


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(list("ab'\"$/*-;()[]\\E 1.:\n")), max_size=40))
def test_an_accepted_expression_stays_accepted_inside_brackets(text: str) -> None:
    try:
        checked = Expression(text)
    except PydanticCustomError:
        return
    assert Expression(f"({checked})") == f"({checked})"
    assert Expression(checked) == checked
