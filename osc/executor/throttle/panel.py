"""All signals of a fill with the limits in force: each read anew when it is stale, and what they say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import psycopg

from osc.executor.explaining import said
from osc.executor.throttle.signal import OFF, Reading, Signal, unknown
from osc.pg.outcome import session_ended, sqlstate_of
from osc.pg.session import Connection

NOT_THERE = ("42", "0A")
"""SQLSTATE classes of what will not be there a second later either: privileges, functions, features of another server."""


@dataclass
class _Seen:
    limit: Any
    at_s: float
    readings: list[Reading]

    @property
    def stale_at_s(self) -> float:
        return self.at_s + min((one.stale_after_s for one in self.readings), default=1.0)


@dataclass
class Panel:
    """Reads ``signals`` on one connection, one after the other, whoever asks."""

    signals: Sequence[Signal]
    limits: Mapping[str, Any]
    """In force now, by the key under which pacing stores them; ``none`` takes away the engine's own too."""
    note: Callable[[str], None]
    """Told once of each of the engine's own limits that this role cannot watch."""
    utilisation: float = 0.0
    """The most that any signal said when it was last read, 0.0 where none is watched; 1.0 stops."""
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)
    _reading: anyio.Lock = field(default_factory=anyio.Lock)

    def is_fresh(self, now_s: float) -> bool:
        """Return whether all that is watched still stands; costs no look at the server."""
        return all(self._stands(signal, now_s) for signal in self._watched())

    async def read(self, conn: Connection, now_s: float) -> list[Reading]:
        """Return the readings of all signals, read anew where they are stale; raises psycopg.Error for a lost session."""
        watched = self._watched()
        for signal in watched:
            if not self._stands(signal, now_s):
                await self.read_one(conn, signal, now_s)
        self._seen = {signal.key: self._seen[signal.key] for signal in watched}
        self._sum_up()
        return [one for seen in self._seen.values() for one in seen.readings]

    async def read_one(self, conn: Connection, signal: Signal, now_s: float) -> list[Reading]:
        """Read ``signal`` whether it is stale or not, and return what it says."""
        limit = self.limits.get(signal.key)
        if limit == OFF:
            return []
        async with self._reading:
            readings = await self._ask(conn, signal, limit, now_s)
        self._seen[signal.key] = _Seen(limit, now_s, readings)
        self._sum_up()
        return readings

    def _watched(self) -> list[Signal]:
        return [
            signal
            for signal in self.signals
            if (limit := self.limits.get(signal.key)) != OFF and (limit is not None or signal.by_default)
        ]

    def _stands(self, signal: Signal, now_s: float) -> bool:
        seen = self._seen.get(signal.key)
        return seen is not None and seen.limit == self.limits.get(signal.key) and now_s < seen.stale_at_s

    def _sum_up(self) -> None:
        self.utilisation = max((one.utilisation for seen in self._seen.values() for one in seen.readings), default=0.0)

    async def _ask(self, conn: Connection, signal: Signal, limit: Any, now_s: float) -> list[Reading]:
        """A limit that was written stops the work when it cannot be read: whoever wrote it relies on it (I15)."""
        try:
            readings = await signal.read(conn, limit, now_s)
        except psycopg.Error as error:
            if session_ended(error):
                raise
            lasting = (sqlstate_of(error) or "").startswith(NOT_THERE)
            reason = f"{signal.name} cannot be watched: {said(error)}; set it to {OFF} to go on without"
            readings = [unknown(reason, 5.0) if lasting else Reading(1.0, reason)]
        if limit is not None:
            return readings
        for one in readings:
            if not one.known and signal.key not in self._left_out:
                self._left_out.add(signal.key)
                self.note(f"the fill goes on without {signal.name}: {one.reason}")
        return [one if one.known else Reading(0.0, one.reason, one.stale_after_s) for one in readings]
