"""Ordering by facts: a test goes on when the server says that somebody waits, not after a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


def until(fact: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Return when ``fact`` is true; fail if it is not in time."""
    end = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)


def waits_for_a_lock(observer: psycopg.Connection[Any], *waiting: psycopg.Connection[Any]) -> bool:
    """Return whether every session of ``waiting`` waits for a lock now."""
    pids = [one.info.backend_pid for one in waiting]
    ((count,),) = observer.execute(
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY (%s)", [pids]
    ).fetchall()
    return bool(count == len(pids))
