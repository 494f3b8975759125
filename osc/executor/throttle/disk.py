"""How much of the server's disk is free, where osc runs on the same machine: SQL does not tell it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query, size, unknown
from osc.names import QName
from osc.pg.session import Connection

STALE_AFTER_S = 5.0


@dataclass
class Disk:
    """Free space of the file systems with the data directory, its WAL and the table's tablespace."""

    table: QName
    key: ClassVar[str] = "min_free_disk_bytes"
    name: ClassVar[str] = "min_free_disk"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return a reading for each place."""
        if not conn.info.host.startswith("/"):
            return [unknown(f"free disk is unknown: the server is another machine; {self.remedy}", STALE_AFTER_S)]
        rows = await query(conn, "places", {"schema": self.table.schema, "table": self.table.name})
        free = {place: free for (place,) in rows if (free := _free(place)) is not None}
        if not free:
            return [unknown(f"free disk is unknown: the server's files are not here; {self.remedy}", STALE_AFTER_S)]
        return [
            Reading(limit / max(1, left), f"free disk {size(left)} < {size(limit)} ({place})", STALE_AFTER_S)
            for place, left in free.items()
        ]

    @property
    def remedy(self) -> str:
        return "ask your monitoring by pause_when: [{http: …}] instead"


def _free(place: str) -> int | None:
    """Return the free bytes there, or ``None`` where we may not look; the WAL may lie below a directory that is closed."""
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
