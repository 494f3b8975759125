"""Whether a gate of hours is open at a moment, in its own time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from osc.program import GateStep


def open_at(step: GateStep, now: datetime) -> bool:
    """Return whether ``now`` lies in the step's hours; hours that end before they begin run into the next day."""
    local = now.astimezone(ZoneInfo(step.zone))
    minute = local.hour * 60 + local.minute
    if step.since < step.until:
        return local.weekday() in step.days and step.since <= minute < step.until
    yesterday = (local - timedelta(days=1)).weekday()
    return (local.weekday() in step.days and minute >= step.since) or (yesterday in step.days and minute < step.until)
