"""How much WAL replication slots make the server keep (F82): a slot that nobody reads fills the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query, size
from osc.pg.session import Connection

SHARE_MAX = 0.8
"""Of max_slot_wal_keep_size, where no limit is written: beyond it the server lets the slot's reader lose what it needs."""


@dataclass
class Slots:
    """Retained WAL of each slot, physical or logical; one whose WAL is lost already retains none."""

    key: ClassVar[str] = "max_slot_wal_bytes"
    name: ClassVar[str] = "max_slot_wal"
    by_default: ClassVar[bool] = True

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return a reading for each slot; without a limit only where the server has one, ``max_slot_wal_keep_size``."""
        found = []
        for name, active, retained, status, left in await query(conn, "slots"):
            who = f"slot {name}" if active else f"slot {name}, which nobody reads,"
            if status == "unreserved":
                found.append(Reading(1.0, f"{who} is about to lose WAL that it needs (wal_status unreserved)"))
            elif limit is not None:
                found.append(Reading(retained / limit, f"{who} keeps {size(retained)} of WAL > {size(limit)}"))
            elif left is not None:
                most = max(1.0, (retained + left) * SHARE_MAX)
                why = f"{SHARE_MAX:.0%} of what it may keep (max_slot_wal_keep_size)"
                found.append(Reading(retained / most, f"{who} keeps {size(retained)} of WAL > {size(most)}, {why}"))
        return found
