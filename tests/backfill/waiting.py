"""Ordering by facts: a story goes on when the server says that a session waits for a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    import psycopg


async def waiting(observer: psycopg.AsyncConnection[Any], *sessions: psycopg.AsyncConnection[Any]) -> None:
    """Return once every one of ``sessions`` waits for a lock; fail if that is not so in time."""
    pids = [one.info.backend_pid for one in sessions]
    with anyio.fail_after(10):
        while True:
            found = await observer.execute(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY (%s)", [pids]
            )
            if await found.fetchone() == (len(pids),):
                return
            await anyio.sleep(0.005)
