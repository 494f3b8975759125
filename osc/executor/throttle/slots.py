"""How much WAL replication slots make the server keep (F82): a slot that nobody reads fills the disk."""

from __future__ import annotations

from dataclasses import dataclass

from osc.executor.throttle.signal import Reading, query, size
from osc.pg.session import Connection


@dataclass
class Slots:
    """Retained WAL of each slot, physical or logical; one whose WAL is lost already retains none."""

    key: str = "max_slot_wal_bytes"

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return a reading for each slot."""
        return [_reading(name, active, retained, limit) for name, active, retained in await query(conn, "slots")]


def _reading(name: str, active: bool, retained: int, limit: float) -> Reading:
    who = f"slot {name}" if active else f"slot {name}, which nobody reads,"
    return Reading(retained / limit, f"{who} keeps {size(retained)} of WAL > {size(limit)}")
