"""Whether a vacuum runs on the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query, seconds
from osc.names import QName
from osc.pg.session import Connection

DEFAULT_MS = 600_000
"""GitLab holds its batches for ten minutes when autovacuum works on their table. A fill beside a vacuum does no harm but
makes it longer, so where nothing is written only one that prevents wraparound is worth the time, and no rest is endless."""


@dataclass
class Vacuum:
    """Rests while a vacuum runs, for each one at most as long as the limit."""

    table: QName
    ours: str = ""
    """The application name under which the bloat guard vacuums: beside that the fill goes on."""
    key: ClassVar[str] = "rest_for_vacuum_ms"
    name: ClassVar[str] = "rest_for_vacuum"
    by_default: ClassVar[bool] = True
    _since: dict[int, float] = field(default_factory=dict)

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return a reading for each vacuum of the table or a leaf of it; without a limit of those against wraparound."""
        params = {"schema": self.table.schema, "table": self.table.name, "ours": self.ours}
        rows = await query(conn, "vacuums", params)
        running = {pid: urgent for pid, urgent in rows if urgent or limit is not None}
        return self.rests(running, DEFAULT_MS / 1000 if limit is None else limit / 1000, now_s)

    def rests(self, running: dict[int, bool], limit_s: float, now_s: float) -> list[Reading]:
        """Return the readings at ``now_s`` for the vacuums that run, by pid, and whether they prevent wraparound."""
        self._since = {pid: self._since.get(pid, now_s) for pid in running}
        return [
            Reading(
                1.0 if now_s - self._since[pid] < limit_s else 0.0,
                f"a vacuum{' to prevent wraparound' if urgent else ''} runs on {self.table} (pid {pid}); "
                f"the fill rests for it {seconds(limit_s)} at most",
            )
            for pid, urgent in running.items()
        ] or [Reading(0.0, f"no vacuum runs on {self.table}", 5.0)]
