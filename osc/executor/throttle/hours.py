"""Whether the fill is in its hours; the gate of the phase only lets it begin in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from osc.executor.hours import Window, open_at
from osc.executor.throttle.signal import DEADLINE_S, Reading, unknown
from osc.pg.session import Connection, run
from osc.sql.named import load

STALE_AFTER_S = 5.0


@dataclass
class Hours:
    """Days, times and time zone, by the database's clock (F90)."""

    key: ClassVar[str] = "hours"
    name: ClassVar[str] = "hours"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: dict[str, Any], now_s: float) -> list[Reading]:
        """Return one reading."""
        row = await (await run(conn, load("clock")["now"], deadline_s=DEADLINE_S)).fetchone()
        assert row is not None  # a SELECT without FROM has one row
        window = Window(tuple(limit["days"]), limit["since"], limit["until"], limit["zone"])
        try:
            local, is_open = row[0].astimezone(ZoneInfo(window.zone)), open_at(window, row[0])
        except (ZoneInfoNotFoundError, ValueError):
            return [unknown(f"the time zone {window.zone} is not known here; hours cannot be kept", STALE_AFTER_S)]
        said = f"it is {local:%a %H:%M} in {window.zone}, and the fill works only in these hours: {limit['text']}"
        return [Reading(0.0 if is_open else 1.0, said, STALE_AFTER_S)]
