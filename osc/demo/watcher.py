"""The watcher: every 20 ms it looks who waits behind a session of osc, from a session that takes no locks.

In a thread of its own, so that the work of osc in the same process does not make it look less often.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from osc.demo.statements import statement
from osc.errors import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg.rows import TupleRow

INTERVAL_S = 0.020
_STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session behind a session of osc at one moment; ``waits_s`` is the age of its wait, if the server tells."""

    pid: int
    waits_s: float | None
    who: str
    behind: str


@dataclass(frozen=True, slots=True)
class Stay:
    """How long a session stayed behind osc."""

    ms: float = 0.0
    who: str = ""
    behind: str = ""


@dataclass(slots=True)
class _Open:
    since: float
    waiting: Waiting


class Stays:
    """Makes stays of looks. Pure, so that its arithmetic is tested without a server.

    A stay begins when the session was last seen elsewhere, or when its wait began if that is later, and ends when it
    is first seen elsewhere again: never shorter than it was, and at most an interval longer.
    """

    def __init__(self) -> None:
        self.longest = Stay()
        self.gap_s = 0.0
        self._open: dict[int, _Open] = {}
        self._last: float | None = None

    def look(self, now: float, waiting: Iterable[Waiting]) -> None:
        """Take in who waits at ``now`` (seconds of a clock that only goes forward)."""
        before = now if self._last is None else self._last
        self.gap_s = max(self.gap_s, now - before)
        seen = {one.pid: one for one in waiting}
        for pid, one in seen.items():
            began = before if one.waits_s is None else max(before, now - one.waits_s)
            self._open.setdefault(pid, _Open(began, one))
        for pid, stay in list(self._open.items()):
            self._measure(stay, now)
            if pid not in seen:
                del self._open[pid]
        self._last = now

    def _measure(self, stay: _Open, now: float) -> None:
        ms = (now - stay.since) * 1000
        if ms > self.longest.ms:
            self.longest = Stay(ms, stay.waiting.who, stay.waiting.behind)


class Watcher:
    """Looks from ``start`` to ``stop``; ``stays`` may be read at any time."""

    def __init__(self, dsn: str) -> None:
        self.stays = Stays()
        self._dsn = dsn
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="osc-demo-watcher", daemon=True)

    def start(self) -> None:
        """Begin to look; the first look has been taken when this returns."""
        self._thread.start()
        self._ready.wait(_STOP_TIMEOUT_S)

    def stop(self) -> None:
        """Look a last time and end; may be called again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_S)

    def stopped(self) -> Stays:
        """Stop and return the result; raise Failed if it could not look all the time: no wait seen is then no proof."""
        self.stop()
        if self._error is not None or self._thread.is_alive():
            raise Failed(f"the demo could not watch who waits: {self._error or 'the server does not answer'}")
        return self.stays

    def _run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True, application_name="demo watcher") as conn:
                self._watch(conn)
        except Exception as error:  # told by stopped(); a thread has nobody else to tell
            self._error = error
        finally:
            self._ready.set()

    def _watch(self, conn: psycopg.Connection[TupleRow]) -> None:
        look = statement("behind_osc")
        due = time.monotonic()
        while True:
            last = self._stop.is_set()
            rows: list[tuple[Any, ...]] = conn.execute(look, prepare=True).fetchall()
            self.stays.look(time.monotonic(), [Waiting(*row) for row in rows])
            self._ready.set()
            if last:
                return
            due = max(due + INTERVAL_S, time.monotonic())
            self._stop.wait(due - time.monotonic())
