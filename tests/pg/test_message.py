"""The one-message transaction: its text, and that nothing in a plan can break out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.names import QName
from osc.sql.locks import Assertion, Lock, TableLock
from osc.sql.message import dollar_quote, transaction_message

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect

LOCK = TableLock(table=QName("public", "t"), mode=Lock.ACCESS_EXCLUSIVE)
FENCE = (
    "UPDATE public.journal SET done = true WHERE epoch = 7;\n"
    "IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'OSC01'; END IF"
)

WHOLE = """DO $osc1$
#variable_conflict use_column
BEGIN
PERFORM pg_catalog.set_config('lock_timeout', '1500ms', true);
LOCK TABLE ONLY "public"."t" IN SHARE UPDATE EXCLUSIVE MODE;
PERFORM pg_catalog.set_config('lock_timeout', '150ms', true);
LOCK TABLE ONLY "public"."t" IN ACCESS EXCLUSIVE MODE;
IF (
true
) IS NOT TRUE THEN
    RAISE EXCEPTION USING ERRCODE = 'OSC03', MESSAGE = 'it''s not', HINT = 'do';
END IF;
EXECUTE $sql$ALTER TABLE public.t ADD b text DEFAULT $osc$x$osc$$sql$;
UPDATE public.journal SET done = true WHERE epoch = 7;
IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'OSC01'; END IF;
END
$osc1$"""


def test_the_text_locks_asserts_runs_and_fences_in_this_order() -> None:
    assert (
        transaction_message(
            locks=[LOCK],
            assertions=[Assertion(condition="true", message="it's not", hint="do")],
            sql=["ALTER TABLE public.t ADD b text DEFAULT $osc$x$osc$"],
            fence=FENCE,
            lock_timeout_ms=150,
            yield_first_ms=1_500,
        )
        == WHOLE
    )


@pytest.fixture
def database(connect: Connect) -> psycopg.Connection[tuple[object, ...]]:
    connection = connect()
    connection.execute("CREATE TABLE t (a int, found boolean); INSERT INTO t VALUES (1, false)")
    connection.execute("CREATE TABLE journal (epoch int, done boolean); INSERT INTO journal VALUES (7)")
    connection.execute("SET search_path = pg_catalog")
    return connection


def message(*sql: str, condition: str = "true", fence: str = FENCE) -> str:
    assertion = Assertion(condition=condition, message="it is not so", hint="mend it")
    return transaction_message(locks=[LOCK], assertions=[assertion], sql=sql, fence=fence, lock_timeout_ms=100)


@pytest.mark.both_versions
def test_the_text_runs_and_commits_by_itself(database: psycopg.Connection[tuple[object, ...]]) -> None:
    database.execute("ALTER TABLE public.journal ADD note text")
    database.execute(WHOLE)
    row = database.execute("SELECT b, done FROM public.t, public.journal").fetchone()
    assert row == ("x", True)
    held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'"
    assert database.execute(held).fetchone() == (0,)


@pytest.mark.parametrize(
    ("sql", "condition", "fence", "sqlstate"),
    [
        ("DROP TABLE public.t", "false", FENCE, "OSC03"),
        ("DROP TABLE public.t", "NULL::boolean", FENCE, "OSC03"),
        ("DROP TABLE public.t", "true", FENCE.replace("= 7", "= 8"), "OSC01"),
        ("DROP TABLE public.t; SELECT 1/0", "true", FENCE, "22012"),
        ("DROP TABLE public.t; COMMIT", "true", FENCE, "0A000"),
    ],
)
def test_whatever_fails_takes_everything_back(
    database: psycopg.Connection[tuple[object, ...]], sql: str, condition: str, fence: str, sqlstate: str
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        database.execute(message(sql, condition=condition, fence=fence))
    assert refused.value.sqlstate == sqlstate
    assert database.execute("SELECT done, to_regclass('public.t') IS NOT NULL FROM public.journal").fetchone() == (
        None,
        True,
    )


def test_a_column_named_found_and_comments_are_themselves(database: psycopg.Connection[tuple[object, ...]]) -> None:
    database.execute(
        message(
            "UPDATE public.t SET a = 2 WHERE NOT found -- all",
            condition="SELECT bool_and(NOT found) FROM public.t -- CASE THEN",
        )
    )
    assert database.execute("SELECT a FROM public.t").fetchone() == (2,)


@given(st.lists(st.sampled_from(["$", "osc", "1", "sql", "'", "\\", "x", "\n", "ä"]), max_size=12).map("".join))
def test_a_dollar_quote_closes_where_it_should(text: str) -> None:
    quoted = dollar_quote(text)
    delimiter = quoted[: quoted.index("$", 1) + 1]
    assert quoted.count(delimiter) == 2
    assert quoted == delimiter + text + delimiter


@pytest.mark.parametrize("text", ["$osc$", "$osc", "$", "$$", "a$osc1$osc$b$", "$1$ $_osc", "'\\"])
def test_the_server_reads_a_dollar_quote_as_it_was(connect: Connect, text: str) -> None:
    assert connect().execute("SELECT " + dollar_quote(text)).fetchone() == (text,)


def test_nul_never_reaches_a_text() -> None:
    with pytest.raises(ValueError, match="NUL"):
        dollar_quote("a\0b")
