"""How far replicas are behind (I15, F80): in seconds or in bytes, and stop where nobody knows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from osc.executor.throttle.signal import Reading, hidden, query, size
from osc.pg.session import Connection

DEFAULT_MS = 10_000
"""Where no limit is written. Peers: gh-ost 1.5 s, Vitess 5 s, Spirit 120 s. What reads from a standby expects seconds, and
a limit that nobody asked for must not answer to every checkpoint."""
GONE_S = 300.0
"""A replica that was there and is not any more stops the work for so long: it may be restarting, far behind. After
that it is taken for removed. One that has a replication slot is missed for as long as the slot is there."""
HISTORY = 2_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which replicas count, by name; ``*`` stands for any letters."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Return whether the replica of this name is watched."""
        wanted = not self.include or any(fnmatchcase(name, one) for one in self.include)
        return wanted and not any(fnmatchcase(name, one) for one in self.exclude)


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica that is connected; positions are bytes since the beginning of the log, ``None`` where not known."""

    pid: int
    name: str | None
    state: str | None
    written: int
    replayed: int | None
    lag_s: float | None
    is_logical: bool

    @property
    def label(self) -> str:
        return self.name or f"pid {self.pid}"


@dataclass
class Replicas:
    """Lag of each replica in seconds.

    ``replay_lag`` of the server is what the last confirmed position took, and says nothing while replay stands still.
    So what was written when is noted at each look: what stood in the log that long ago and is not replayed yet is
    that old at least.
    """

    key: ClassVar[str] = "max_replica_lag_ms"
    name: ClassVar[str] = "max_replica_lag"
    by_default: ClassVar[bool] = True
    chosen: Callable[[], Chosen] = Chosen
    _written: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    _seen: dict[str, float] = field(default_factory=dict)

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return a reading for each replica, known or missing.

        Without a limit standbys are watched that stream and say how far they are; with one, everybody who streams, and
        slots of standbys that are away.
        """
        chosen = self.chosen()
        found = [one for one in await connected(conn) if chosen.takes(one.label)]
        if limit is None:
            found = [one for one in found if one.state is None or (one.replayed is not None and not one.is_logical)]
        readings = [self._of(one, DEFAULT_MS if limit is None else limit, now_s) for one in found]
        if limit is not None:
            readings += [
                Reading(1.0, f"the lag of a replica is unknown: nobody is connected to its slot {slot}")
                for (slot,) in await query(conn, "unconnected")
                if chosen.takes(slot)
            ]
        return readings + _missing(chosen, found) + self._gone(now_s)

    def _of(self, one: Replica, limit: float, now_s: float) -> Reading:
        if one.state is None:
            return hidden(f"the lag of a replica ({one.label})", self.name)
        if one.replayed is None:
            return Reading(1.0, f"the lag of a replica is unknown ({one.label}): it is in state {one.state}")
        if not self._written or self._written[-1][0] < now_s:
            self._written.append((now_s, one.written))
        self._seen[one.label] = now_s
        return self.measured(one, one.replayed, limit, now_s)

    def measured(self, one: Replica, replayed: int, limit: float, now_s: float) -> Reading:
        """Return the reading of a replica that says how far it is."""
        lag_s = self.lag_s(now_s, one.written, replayed, one.lag_s)
        return Reading(lag_s / (limit / 1000), f"replica lag {lag_s:.1f} s > {limit / 1000:g} s ({one.label})")

    def lag_s(self, now_s: float, written: int, replayed: int, said_s: float | None) -> float:
        """Return how old the oldest thing is that is not replayed, as far as is known."""
        if replayed >= written:
            return 0.0
        oldest = next((at_s for at_s, position in self._written if position > replayed), now_s)
        return max(now_s - oldest, said_s or 0.0)

    def _gone(self, now_s: float) -> list[Reading]:
        missing = {name: now_s - at_s for name, at_s in self._seen.items() if at_s < now_s}
        for name, since_s in missing.items():
            if since_s > GONE_S or not self.chosen().takes(name):
                del self._seen[name]
        return [
            Reading(1.0, f"the lag of a replica is unknown: {name} is not connected since {since_s:.0f} s")
            for name, since_s in missing.items()
            if name in self._seen
        ]


@dataclass
class ReplicaBytes(Replicas):
    """What each replica has not replayed yet, in bytes of WAL; a lag that shows before it lasts."""

    key: ClassVar[str] = "max_replica_lag_bytes"
    name: ClassVar[str] = "max_replica_lag_bytes"
    by_default: ClassVar[bool] = False

    def measured(self, one: Replica, replayed: int, limit: float, now_s: float) -> Reading:
        """Return the reading of a replica that says how far it is."""
        behind = max(0, one.written - replayed)
        return Reading(behind / limit, f"replica lag {size(behind)} of WAL > {size(limit)} ({one.label})")


async def connected(conn: Connection) -> list[Replica]:
    """Return who streams from this server."""
    return [Replica(*row) for row in await query(conn, "replicas")]


def _missing(chosen: Chosen, found: list[Replica]) -> list[Reading]:
    """A replica that was asked for by name must be there."""
    return [
        Reading(1.0, f"the lag of a replica is unknown: {wanted} is not connected")
        for wanted in chosen.include
        if not any(fnmatchcase(one.label, wanted) for one in found)
    ]


def chosen_of(stored: Any) -> Chosen:
    """Return the choice that is stored under ``replicas``; nothing and ``none`` choose everybody."""
    if not isinstance(stored, dict):
        return Chosen()
    return Chosen(tuple(stored.get("include", ())), tuple(stored.get("exclude", ())))
