"""How long something keeps dead rows from being removed: an old transaction, a prepared one, a slot, a standby."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from osc.executor.throttle.signal import Reading, hidden, query, seconds
from osc.pg.session import Connection


@dataclass
class Xmin:
    """Whoever holds the horizon back longest. Of a slot or standby nobody knows since when; it is timed here."""

    key: ClassVar[str] = "max_xmin_age_ms"
    name: ClassVar[str] = "max_xmin_age"
    by_default: ClassVar[bool] = False
    _first: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return a reading for whoever holds it longest, and one for what is hidden."""
        rows = await query(conn, "xmin_holders")
        ages = self.ages([(who, age_s, xmin) for who, age_s, xmin, unseen in rows if not unseen], now_s)
        readings = [
            Reading(
                age_s / (limit / 1000), f"{who} keeps dead rows for {seconds(age_s)} > {seconds(limit / 1000)}", 5.0
            )
            for who, age_s in ages.items()
        ]
        if any(unseen for *_, unseen in rows):
            readings.append(hidden("what keeps dead rows", self.name))
        return readings or [Reading(0.0, "nothing keeps dead rows", 5.0)]

    def ages(self, holders: list[tuple[str, float | None, str | None]], now_s: float) -> dict[str, float]:
        """Return how long each holds, given its name, its age if the server tells it, and its xmin."""
        first = {
            who: self._first[who] if who in self._first and self._first[who][0] == xmin else (xmin or "", now_s)
            for who, age_s, xmin in holders
            if age_s is None
        }
        self._first = first
        return {who: now_s - first[who][1] if age_s is None else age_s for who, age_s, _ in holders}
