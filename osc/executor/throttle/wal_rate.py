"""How much WAL everybody writes a second: what archiver and replicas can carry is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query, size
from osc.pg.session import Connection

WINDOW_S = 10.0
"""The rate is an average over so much time at most."""


@dataclass
class WalRate:
    """The average since a mark that stays where it is while the rate is too high.

    So the fill rests until the average is at the limit again, and goes at the limit on the whole.
    """

    key: ClassVar[str] = "max_wal_bytes_per_s"
    name: ClassVar[str] = "max_wal_rate"
    by_default: ClassVar[bool] = False
    _mark: tuple[float, int] | None = None

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return one reading, or none at the first look."""
        ((written,),) = await query(conn, "written")
        return self.rate(now_s, int(written), limit)

    def rate(self, now_s: float, written: int, limit: float) -> list[Reading]:
        """Return the reading for what was written until ``now_s``."""
        if self._mark is None or now_s <= self._mark[0]:
            self._mark = self._mark or (now_s, written)
            return []
        since_s, rate = now_s - self._mark[0], (written - self._mark[1]) / (now_s - self._mark[0])
        if rate < limit or since_s > WINDOW_S:
            self._mark = (now_s, written)
        return [Reading(rate / limit, f"{size(rate)} of WAL a second > {size(limit)}")]
