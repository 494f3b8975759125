"""Who waits for a lock that the fill holds (pg_blocking_pids)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query, seconds
from osc.pg.session import Connection

DEFAULT_MS = 50
"""Where no limit is written. A batch aims at 100 ms, and whoever meets one of its rows waits for what is left of it; half of
that is felt, and batches half as long are nearly as fast."""
LOOK_EVERY_S = 0.2
"""Two looks a batch at its target find whoever waits long. Each asks pg_blocking_pids only about sessions that wait."""


@dataclass
class Waiters:
    """The longest wait for one of our sessions; it is seen while batches run, so it is looked at beside them."""

    application: str
    """Name of the sessions that fill."""
    key: ClassVar[str] = "max_lock_wait_ms"
    name: ClassVar[str] = "max_lock_wait"
    by_default: ClassVar[bool] = True

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return a reading of who waits longest, or one that nobody does."""
        limit_s = (DEFAULT_MS if limit is None else limit) / 1000
        ((somebody_waits,),) = await query(conn, "somebody_waits")
        rows = await query(conn, "waiters", {"application": self.application}) if somebody_waits else []
        if not rows:
            return [Reading(0.0, "nobody waits for the fill", 2 * LOOK_EVERY_S)]
        pid, application, waits_s, others = rows[0]
        more = f" and {others} more" if others else ""
        who = f"pid {pid}" + (f" ({application})" if application else "")
        said = f"{who}{more} waits {seconds(waits_s)} > {seconds(limit_s)} for a lock of the fill"
        return [Reading(waits_s / limit_s, said, 2 * LOOK_EVERY_S)]
