"""How many sessions work for somebody else, and how many wait for a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, hidden, query
from osc.pg.session import Connection


@dataclass
class Sessions:
    """Active client sessions, those of osc not among them. The server does not tell how many cores it has."""

    key: ClassVar[str] = "max_active"
    name: ClassVar[str] = "max_active"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return one reading."""
        ((active, unseen),) = await query(conn, "active")
        if unseen and active <= limit:
            return [hidden("how many sessions are active", self.name)]
        return [_above(active, limit, f"{active} active sessions > {limit:g}")]


@dataclass
class LockWaiters:
    """Sessions that wait for a lock, whoever holds it: a pile that grows is no time for more work."""

    key: ClassVar[str] = "max_lock_waiters"
    name: ClassVar[str] = "max_lock_waiters"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return one reading."""
        ((waiting,),) = await query(conn, "lock_waiters")
        return [_above(waiting, limit, f"{waiting} sessions wait for a lock > {limit:g}")]


def _above(count: int, limit: float, reason: str) -> Reading:
    """As many as the limit says are allowed."""
    return Reading(count / limit if count > limit else min(count / limit, 0.99), reason)
