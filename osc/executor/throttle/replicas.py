"""How far replicas are behind (I15, F80): in seconds, and stop where nobody knows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from osc.executor.throttle.signal import GRANT, Reading, query
from osc.pg.session import Connection

GONE_S = 300.0
"""A replica that was there and is not any more stops the work for so long: it may be restarting, far behind. After
that it is taken for removed. One that has a replication slot is missed for as long as the slot is there."""
HISTORY = 2_000


@dataclass
class Replicas:
    """Lag of the replica that is furthest behind.

    ``replay_lag`` of the server is what the last confirmed position took, and says nothing while replay stands still.
    So what was written when is noted at each look: what stood in the log that long ago and is not replayed yet is
    that old at least.
    """

    key: str = "max_replica_lag_ms"
    _written: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    _seen: dict[str, float] = field(default_factory=dict)

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return a reading for each replica, known or missing."""
        readings = []
        for pid, name, state, written, replayed, lag_s in await query(conn, "replicas"):
            if name is None or replayed is None:
                why = f"{GRANT}, or take the limit away" if name is None else f"it is in state {state}"
                readings.append(Reading(1.0, f"the lag of a replica is unknown ({name or f'pid {pid}'}): {why}"))
                continue
            if not self._written or self._written[-1][0] < now_s:
                self._written.append((now_s, written))
            self._seen[name] = now_s
            seconds = self.lag_s(now_s, written, replayed, lag_s)
            readings.append(
                Reading(seconds / (limit / 1000), f"replica lag {seconds:.1f} s > {limit / 1000:g} s ({name})")
            )
        readings += [
            Reading(1.0, f"the lag of a replica is unknown: nobody is connected to its slot {slot}")
            for (slot,) in await query(conn, "unconnected")
        ]
        return readings + self._gone(now_s)

    def lag_s(self, now_s: float, written: int, replayed: int, said_s: float | None) -> float:
        """Return how old the oldest thing is that is not replayed, as far as is known."""
        if replayed >= written:
            return 0.0
        oldest = next((at_s for at_s, position in self._written if position > replayed), now_s)
        return max(now_s - oldest, said_s or 0.0)

    def _gone(self, now_s: float) -> list[Reading]:
        missing = {name: now_s - at_s for name, at_s in self._seen.items() if at_s < now_s}
        for name, since_s in missing.items():
            if since_s > GONE_S:
                del self._seen[name]
        return [
            Reading(1.0, f"the lag of a replica is unknown: {name} is not connected since {since_s:.0f} s")
            for name, since_s in missing.items()
            if since_s <= GONE_S
        ]
