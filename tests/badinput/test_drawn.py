"""Drawn bad input against a real catalog: names that a server takes, and soups of SQL where an expression belongs.

What can be done is done to its end, anything else is refused with a code and leaves no trace; nothing of an author's SQL runs by chance.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from tests.badinput.conftest import Watched, fingerprint
from tests.fixtures.sweeping import sweeping

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Osc

FEW = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
NAME_BYTES_MAX = 63
LETTERS = st.sampled_from("aA_$ \"'%\\.;:(){}[]-/*é→😀\u00a0\u202e\u0301\t\n\x01ß漢0")
WORDS = (
    "select",
    "user",
    "NEW",
    "OLD",
    "tg_op",
    "null",
    "osc",
    "table",
    "t",
    "up",
    "%s",
    "{0}",
    "pg_catalog",
    "x" * 63,
    "é" * 31,
)
NAMES = (st.sampled_from(WORDS) | st.text(LETTERS, min_size=1, max_size=8) | st.text(LETTERS, min_size=40, max_size=63)).filter(
    lambda name: len(name.encode()) <= NAME_BYTES_MAX)  # fmt: skip
KEY = "its key"


def quoted(*names: str) -> list[str]:
    """Quote names for the server by the driver's own rules, not by ours."""
    return [sql.Identifier(name).as_string() for name in names]


def make_state(osc: Watched) -> None:
    """Let osc make its schema, which the first apply on a database does, a refused one too."""
    assert (osc("pause", "--all").code, osc("resume", "--all").code) == (0, 0)


@settings(max_examples=30 if sweeping() else 2, **FEW)  # type: ignore[arg-type]
@example(table='a"b\\ %s', column="select", to="x" * 63)
@example(table="a\nb", column="c", to="d")
@given(table=NAMES, column=NAMES, to=NAMES)
def test_a_table_of_any_name_is_changed_to_the_end_or_refused_with_a_code(
    offline: Osc, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, column: str, to: str
) -> None:
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    osc, (t, c, n, key) = Watched(offline), quoted(table, column, to, KEY)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP SCHEMA IF EXISTS app, osc CASCADE")
        conn.execute("CREATE SCHEMA app")
        conn.execute(f"CREATE TABLE app.{t} ({key} int PRIMARY KEY, {c} int)")  # type: ignore[call-overload]
        conn.execute(f"INSERT INTO app.{t} SELECT n, n * 3 FROM generate_series(1, 5) AS n")  # type: ignore[call-overload]
        plan = tmp_path / "00001_names.yaml"
        fields = json.dumps({"table": f"app.{t}", "column": column, "to": to, "type": "bigint"}, ensure_ascii=False)
        plan.write_text(f"osc: 1\noperations:\n  - change_column: {fields}\n")
        make_state(osc)
        before = fingerprint(dsn)
        done = osc("apply", plan, "--to", "contract")
        possible = all(name.isprintable() for name in (table, column, to)) and column != to
        assert (done.code == 0) == possible, done
        if not possible:
            assert done.code in (2, 3)
            assert "OSC-" in done.err
            assert fingerprint(dsn) == before
            return
        found = conn.execute(f"SELECT {key}, {n} FROM app.{t} ORDER BY 1").fetchall()  # type: ignore[call-overload]
        assert found == [(number, number * 3) for number in range(1, 6)]
        left = conn.execute("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
                            " AND NOT attisdropped ORDER BY 1", [f"app.{t}"]).fetchall()  # fmt: skip
        assert left == sorted([(KEY,), (to,)])


TOKENS = st.sampled_from((
    "a", "b", "c", "n", "t", "t.a", "t.*", "*", "a::bigint", "::bigint", "::text", "+", "-", "||", "=", ",", "(", ")", "[", "]", ";",
    "'", "''", "$$", "$x$", '"', "/*", "*/", "--", "\n", "%s", "%", "{}", "\\", ":a", "$1", "1", "0", "NULL", "'x'", "E'\\'",
    "U&'\\0061'", "CASE WHEN", "THEN", "ELSE", "END", "SELECT", "FROM t", "AS x", "OVER ()", "FILTER (WHERE true)", "COLLATE \"C\"",
    "DEFAULT", "STORED", "RETURNING", "INTO", "DROP TABLE t", "COMMIT", "public.rings()", "(SELECT public.rings())",
    "nextval('public.bell')", "coalesce(a,", "row(", "array[", "now()", "current_user", "random()", "max(a)", "interval '1 day'",
))  # fmt: skip
SOUPS = st.lists(TOKENS, min_size=1, max_size=7).map(" ".join)
BELL = """
CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int);
INSERT INTO t SELECT n, n, 'b', n FROM generate_series(1, 5) AS n;
CREATE SEQUENCE bell;
CREATE FUNCTION rings() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('public.bell') $$;
"""
"""A call of rings() is seen for ever: no rollback takes a sequence back."""


@pytest.fixture
def belled(dsn: str, monkeypatch: pytest.MonkeyPatch, offline: Osc) -> Watched:
    """Give the command line on a database where it is seen when an author's SQL runs."""
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(BELL)
    osc = Watched(offline)
    make_state(osc)
    return osc


def rung(dsn: str) -> Any:
    with psycopg.connect(dsn) as conn:
        return conn.execute("SELECT last_value, is_called FROM bell").fetchone()


@settings(max_examples=120 if sweeping() else 8, **FEW)  # type: ignore[arg-type]
@example(up="public.rings()", down="n::int")
@example(up="a", down="(SELECT public.rings())::int")
@example(up="a); DROP TABLE t; --", down="n::int")
@example(up="a) FROM t; SELECT nextval('public.bell'", down="n::int")
@given(up=SOUPS, down=st.just("n::int") | SOUPS)
def test_a_soup_of_sql_is_proven_or_refused_with_a_code_and_never_run(
    belled: Watched, dsn: str, tmp_path: Path, up: str, down: str
) -> None:
    plan = tmp_path / "00001_soup.yaml"
    fields = json.dumps({"table": "t", "column": "a", "to": "n", "type": "bigint", "up": up, "down": down})
    plan.write_text(f"osc: 1\noperations:\n  - change_column: {fields}\n")
    before = fingerprint(dsn)
    linted = belled("lint", plan)
    assert fingerprint(dsn) == before
    applied = belled("apply", plan, "--detach")
    assert rung(dsn) == (1, False)
    assert linted.code in (0, 2, 3)
    assert applied.code in (0, 2, 3)
    assert linted.code in (0, applied.code)
    if applied.code:
        assert "OSC-" in applied.err
        assert fingerprint(dsn) == before
    else:
        with psycopg.connect(dsn) as conn:  # what was taken is one expression of its own: it stands in any bracket
            conn.execute(f"SELECT ({up}\n)::bigint AS n FROM t".replace("%", "%%"), [], prepare=True)  # type: ignore[call-overload]
        assert belled("rollback", "00001_soup").code == 0
