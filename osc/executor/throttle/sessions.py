"""How many sessions work for somebody else."""

from __future__ import annotations

from dataclasses import dataclass

from osc.executor.throttle.signal import GRANT, Reading, query
from osc.pg.session import Connection


@dataclass
class Sessions:
    """Active client sessions, those of osc not among them."""

    key: str = "max_active"

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return one reading."""
        ((active, hidden),) = await query(conn, "active")
        if hidden and active <= limit:
            return [Reading(1.0, f"how many sessions are active is unknown: {GRANT}, or take the limit away")]
        above = active > limit
        return [
            Reading(active / limit if above else min(active / limit, 0.99), f"{active} active sessions > {limit:g}")
        ]
