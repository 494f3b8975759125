"""Statements in flight: answered in order, each a transaction of its own, and the session is as it was when none is left."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from osc.pg.outcome import ReplyLost
from osc.pg.pipeline import Pipeline, Prepared
from osc.pg.session import Connection, connect, run, within
from osc.pg.target import Target
from osc.settings import DEFAULTS
from tests.pg.eventually import eventually
from tests.pg.line import Fault, Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio

ADD = """INSERT INTO public.t SELECT 12 / $1::int + 0 * $2::bigint, ($3::text[])[1]
RETURNING n, x, pg_catalog.pg_current_xact_id()::text, 1.5"""


@contextlib.asynccontextmanager
async def session(dsn: str) -> AsyncIterator[Connection]:
    conn = await connect(Target.resolve(dsn), purpose="test", settings=DEFAULTS)
    try:
        yield conn
    finally:
        await conn.close()


@pytest.fixture
def table(dsn: str, connect: Connect) -> str:
    connect().execute("CREATE TABLE t (n int CHECK (n <> 4), x text)")
    return dsn


async def kept(conn: Connection) -> list[tuple[Any, ...]]:
    return await (await run(conn, "SELECT n, x FROM public.t ORDER BY n", deadline_s=5)).fetchall()


async def test_answers_come_in_order_and_each_statement_is_a_transaction_of_its_own(table: str) -> None:
    async with session(table) as conn:
        line = Pipeline(conn, ADD)
        for n, x in ((1, ['a{"b,c']), (2, None), (6, ["ü"])):
            await line.send([n, 1 << 40, x])
        assert line.in_flight == 3
        answers = [await line.answer() for _ in range(3)]
        assert line.in_flight == 0
        assert [one and one[:2] for one in answers] == [(12, 'a{"b,c'), (6, None), (2, "ü")]
        assert len({one[2] for one in answers if one}) == 3
        assert await kept(conn) == [(2, "ü"), (6, None), (12, 'a{"b,c')]
        await line.send([12, 1, ["again"]])
        assert (await line.answer() or ())[:2] == (1, "again")


async def test_no_row_is_told_from_a_row_of_nulls(table: str) -> None:
    async with session(table) as conn:
        line = Pipeline(conn, "SELECT NULL WHERE $1::bool")
        await line.send([True])
        await line.send([False])
        assert [await line.answer(), await line.answer()] == [(None,), None]


@pytest.mark.parametrize(
    ("n", "error"), [(0, psycopg.errors.DivisionByZero), (3, psycopg.errors.CheckViolation), ("x", psycopg.DataError)]
)
async def test_an_error_is_raised_for_its_statement_alone(table: str, n: Any, error: type[Exception]) -> None:
    async with session(table) as conn:
        line = Pipeline(conn, ADD)
        for one in (1, n, 2):
            await line.send([one, 1, None])
        assert (await line.answer() or ())[0] == 12
        with pytest.raises(error):
            await line.answer()
        assert (await line.answer() or ())[0] == 6
        assert await kept(conn) == [(6, None), (12, None)]


async def test_what_cannot_be_parsed_fails_for_all_in_flight_and_the_session_goes_on(table: str) -> None:
    async with session(table) as conn:
        await run(conn, "SELECT %s::int", [1], deadline_s=5)  # has left a statement without a name behind
        line = Pipeline(conn, "UPDATE gone SET n = $1::int")
        await line.send([1])
        await line.send([2])
        with pytest.raises(psycopg.errors.UndefinedTable) as told:
            await line.answer()
        assert told.value.diag.message_primary == 'relation "gone" does not exist'
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            await line.answer()
        assert await kept(conn) == []


async def test_what_is_asked_behind_a_statement_is_of_its_transaction_and_says_how_many_rows_it_changed(
    table: str,
) -> None:
    async with session(table) as conn:
        await run(conn, "PREPARE osc_asked (text) AS SELECT $1, count(*) FROM public.t", deadline_s=5)
        add = "INSERT INTO public.t SELECT n FROM pg_catalog.generate_series(1, $1::int) AS n"
        line = Pipeline(conn, add, Prepared("osc_asked", ("x",)))
        for rows in (2, 9, 3):
            await line.send([rows])
        assert await line.answer() == (2, "x", 2)
        with pytest.raises(psycopg.errors.CheckViolation):  # of 4
            await line.answer()
        assert await line.answer() == (3, "x", 5)
        assert len(await kept(conn)) == 5


@pytest.mark.parametrize("asked", ["SELECT 1 / (count(*) - 2) FROM public.t", "SELECT 1 FROM public.t WHERE n > 9"])
async def test_where_the_question_fails_nothing_is_done_and_where_it_has_no_row_there_is_no_answer(
    table: str, asked: str
) -> None:
    async with session(table) as conn:
        await run(conn, f"PREPARE osc_asked AS {asked}", deadline_s=5)
        line = Pipeline(conn, "INSERT INTO public.t VALUES ($1::int), ($1::int)", Prepared("osc_asked"))
        await line.send([1])
        if "/" in asked:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await line.answer()
        else:
            assert await line.answer() is None
        assert len(await kept(conn)) == (0 if "/" in asked else 2)


@pytest.mark.parametrize("asked", [False, True])
async def test_an_error_that_comes_with_the_commit_is_that_of_its_statement(table: str, asked: bool) -> None:
    async with session(table) as conn:
        await run(conn, "PREPARE osc_asked AS SELECT 1", deadline_s=5)
        deferred = "ALTER TABLE public.t ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED"
        await run(conn, deferred, deadline_s=5)
        line = Pipeline(conn, ADD, Prepared("osc_asked") if asked else None)
        for n in (12, 12, 6):  # 1, 1, 2
            await line.send([n, 1, None])
        assert await line.answer()
        with pytest.raises(psycopg.errors.UniqueViolation):
            await line.answer()
        assert await line.answer()
        assert await kept(conn) == [(1, None), (2, None)]


async def test_other_statements_between_do_not_change_what_is_done(table: str) -> None:
    async with session(table) as conn:
        line = Pipeline(conn, ADD)
        for n in (1, 2):
            await line.send([n, 1, None])
            assert await line.answer()
            await run(conn, "DELETE FROM public.t WHERE n = %s", [-1], deadline_s=5)
        assert await kept(conn) == [(6, None), (12, None)]


async def test_the_server_goes_on_without_us(table: str) -> None:
    async with session(table) as conn, session(table) as other:
        line = Pipeline(conn, ADD)
        for n in (1, 2, 6):
            await line.send([n, 1, None])

        async def all_three() -> bool:
            return len(await kept(other)) == 3

        assert await eventually(all_three)
        assert line.in_flight == 3


async def test_a_statement_has_its_own_time_however_long_it_waited_for_those_in_front(dsn: str) -> None:
    async with session(dsn) as conn:
        await run(conn, "SET statement_timeout = 400", deadline_s=5)
        line = Pipeline(conn, "SELECT pg_catalog.pg_sleep($1::float8)")
        for seconds in (0.3, 0.3, 5, 0.3):
            await line.send([seconds])
        assert await line.answer()
        assert await line.answer()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await line.answer()
        assert await line.answer()


async def test_a_lost_line_is_told_and_not_waited_for(table: str) -> None:
    async with Line(make_conninfo(table, host="127.0.0.1")) as between, session(between.dsn) as conn:
        line = Pipeline(conn, ADD)
        await line.send([1, 1, None])
        assert await line.answer()
        between.fault = Fault(lambda asked: asked.text == ADD and asked.number == 3, "reply")
        await line.send([2, 1, None])
        await line.send([6, 1, None])
        assert (await line.answer() or ())[0] == 6
        with pytest.raises(psycopg.OperationalError):
            await line.answer()
        assert between.fault.happened
    async with session(table) as conn:
        assert await kept(conn) == [(2, None), (6, None), (12, None)]


async def test_an_answer_has_an_end(dsn: str) -> None:
    async with session(dsn) as conn:
        line = Pipeline(conn, "SELECT pg_catalog.pg_sleep($1::float8)")
        await line.send([60])
        begun = time.monotonic()
        with pytest.raises(ReplyLost):
            await within(conn, 0.3, line.answer())
        assert time.monotonic() - begun < 5
        assert conn.closed
        with pytest.raises(psycopg.OperationalError):
            await line.answer()
