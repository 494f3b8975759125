"""What every part of a fill needs to run its statements: fetching, and what an error says about the rows."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from osc.pg.outcome import Outcome, classify, sqlstate_of
from osc.pg.session import Connection

Row = tuple[Any, ...]


def is_poison(error: psycopg.Error) -> bool:
    """Return whether the error is about one row's values: data exceptions, constraint violations, raised exceptions."""
    sqlstate = sqlstate_of(error) or ""
    return sqlstate[:2] in ("22", "23", "P0", "2F", "38", "39") or sqlstate == "44000"


def is_busy(error: psycopg.Error) -> bool:
    """Return whether the same statement may go through in a moment: locked by others, out of time, a deadlock broken."""
    return classify(error, during="transaction") in (Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED, Outcome.TRANSIENT)


async def fetch_one(conn: Connection, sql: str, params: list[Any]) -> Row | None:
    async with AsyncRawCursor(conn) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchone()


async def fetch_all(conn: Connection, sql: str, params: list[Any]) -> list[Row]:
    async with AsyncRawCursor(conn) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()
