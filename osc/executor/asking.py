"""Questions that a plan's author puts to a query or an address; gates and the throttle ask them alike."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from osc.pg.session import Connection, run, within

GRACE_S = 5.0
"""So much longer than the server's own timeout the client waits, before it hangs up."""


async def one_value(conn: Connection, sql: str, *, timeout_s: float) -> Any:
    """Return the first value of the first row of ``sql``, ``None`` without a row; raises psycopg.Error.

    The transaction is read-only: who is asked decides, and does not act. Wanting a binary result makes psycopg use the
    extended protocol, which takes one statement only: a second could end the transaction and write.
    """
    limits = f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {round(timeout_s * 1000)}"
    async with conn.transaction():
        await run(conn, limits, deadline_s=timeout_s + GRACE_S)
        cursor = await within(conn, timeout_s + GRACE_S, conn.execute(sql, binary=True))
        row = await cursor.fetchone()
    return row[0] if row else None


async def http_status(url: str, timeout_s: float) -> int | str:
    """Return the status with which ``url`` answers, or the kind of failure in a word; a redirect is not followed.

    An address that drips is left after twice the time.
    """
    with anyio.move_on_after(2 * timeout_s):
        return await anyio.to_thread.run_sync(_get, url, timeout_s, abandon_on_cancel=True)
    return "TimeoutError"


def without_secrets(url: str) -> str:
    """Return ``url`` as it may be shown: user, query and fragment may hold what nobody should read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Takes a redirect for the answer: where it leads was not written in the plan."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Stay)


def _get(url: str, timeout_s: float) -> int | str:
    try:
        with _OPENER.open(url, timeout=timeout_s) as reply:  # plans are only read with http and https
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None)
        return type(reason if isinstance(reason, Exception) else error).__name__
