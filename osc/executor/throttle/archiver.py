"""How much WAL waits to be archived: it stays on the server's disk until it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query
from osc.pg.session import Connection

DEFAULT = 42
"""Segments, 672 MB of the usual size: where GitLab stops its batches."""
STALE_AFTER_S = 5.0


@dataclass
class Archiver:
    """Segments that are ready and not archived; nothing waits where archive_mode is off."""

    key: ClassVar[str] = "max_archive_queue"
    name: ClassVar[str] = "max_archive_queue"
    by_default: ClassVar[bool] = True

    _archives: bool | None = None

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return one reading."""
        limit = DEFAULT if limit is None else limit
        if self._archives is None:  # changes at a restart only; the queue may not be asked for without pg_monitor
            ((self._archives,),) = await query(conn, "archives")
        if not self._archives:
            return [Reading(0.0, "nothing is archived (archive_mode is off)", STALE_AFTER_S)]
        ((waiting, fails),) = await query(conn, "archive_queue")
        said = f"{waiting} WAL segments wait to be archived > {limit:g}" + ("; the last try failed" if fails else "")
        return [Reading(waiting / limit if waiting > limit else min(waiting / limit, 0.99), said, STALE_AFTER_S)]
