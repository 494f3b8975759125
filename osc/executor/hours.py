"""Whether hours are open at a moment, in their own time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from osc.program import GateStep


@dataclass(frozen=True, slots=True)
class Window:
    """Days (0 is Monday), minutes of the day, ``until`` exclusive, and their time zone."""

    days: tuple[int, ...]
    since: int
    until: int
    zone: str


def open_at(step: GateStep | Window, now: datetime) -> bool:
    """Return whether ``now`` lies in these hours; hours that end before they begin run into the next day."""
    local = now.astimezone(ZoneInfo(step.zone))
    minute = local.hour * 60 + local.minute
    if step.since < step.until:
        return local.weekday() in step.days and step.since <= minute < step.until
    yesterday = (local - timedelta(days=1)).weekday()
    return (local.weekday() in step.days and minute >= step.since) or (yesterday in step.days and minute < step.until)
