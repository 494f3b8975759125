"""Signs that the operator puts up: a query, an address, a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import anyio
import psycopg

from osc.executor.asking import http_status, one_value, without_secrets
from osc.executor.explaining import said
from osc.executor.throttle.signal import Reading, unknown
from osc.pg.outcome import session_ended
from osc.pg.session import Connection

STALE_AFTER_S = 2.0
SQL_TIMEOUT_S = 5.0
"""A query that takes longer is no sign: it is asked again and again, and must be quick."""
SHOWN_MAX = 80


@dataclass
class Signs:
    """Each entry of ``pause_when``; one that does not answer holds the fill back."""

    http_timeout_s: float
    key: ClassVar[str] = "pause_when"
    name: ClassVar[str] = "pause_when"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: list[dict[str, str]], now_s: float) -> list[Reading]:
        """Return a reading for each sign."""
        return [await self._look(conn, *next(iter(sign.items()))) for sign in limit]

    async def _look(self, conn: Connection, kind: str, what: str) -> Reading:
        match kind:
            case "sql":
                return await _query(conn, what)
            case "http":
                return await _address(what, self.http_timeout_s)
            case _:
                return await _file(what)


async def _query(conn: Connection, sql: str) -> Reading:
    """True pauses; a number is the utilisation itself, from 1 on it pauses."""
    text = " ".join(sql.split())
    shown = text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
    try:
        value = await one_value(conn, sql, timeout_s=SQL_TIMEOUT_S)
    except psycopg.Error as error:
        if session_ended(error):
            raise
        return unknown(f"pause_when cannot be asked: {said(error)}: {shown}", STALE_AFTER_S)
    number = _utilisation(value)
    if number is None:
        return unknown(f"pause_when answers neither true, false nor a number: {shown}", STALE_AFTER_S)
    told = "" if isinstance(value, bool) else f" {number:.3g} >= 1"
    return Reading(number, f"pause_when says so{told}: {shown}", STALE_AFTER_S)


def _utilisation(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if isinstance(value, str | bytes) or math.isnan(number) else max(0.0, number)


async def _address(url: str, timeout_s: float) -> Reading:
    """200 lets it go on, any other status pauses; a redirect is an answer, it is not followed."""
    answer = await http_status(url, timeout_s)
    if isinstance(answer, str):
        return unknown(f"pause_when cannot be asked: {without_secrets(url)} gives no answer ({answer})", STALE_AFTER_S)
    return Reading(
        float(answer != HTTPStatus.OK), f"pause_when: {without_secrets(url)} answers {answer}", STALE_AFTER_S
    )


async def _file(path: str) -> Reading:
    try:
        await anyio.Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return Reading(0.0, f"pause_when: no file {path}")
    except (OSError, ValueError) as error:
        return unknown(f"pause_when cannot look for {path}: {getattr(error, 'strerror', None) or error}")
    return Reading(1.0, f"pause_when: the file {path} is there")
