"""The pacing that the engine acts on: under which key and in which form it is stored, by ``apply`` and by ``set``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from osc.plan.phases import BackfillSettings
from osc.plan.quantities import OFF, Hours

Form = Callable[[Any], object]


def _ms(duration: Any) -> int:
    return int(duration.ms)


def _bytes(size: Any) -> int:
    return int(size.bytes)


def _share(share: Any) -> float:
    return float(share.share)


def _as_is(value: Any) -> object:
    return value


def _names(choice: Any) -> dict[str, list[str]]:
    return {"include": list(choice.include), "exclude": list(choice.exclude)}


def _signs(signs: Any) -> list[dict[str, str]]:
    return [{sign.kind: sign.value} for sign in signs]


def _hours(hours: Hours) -> dict[str, object]:
    return {
        "days": sorted(hours.days),
        "since": hours.since,
        "until": hours.until,
        "zone": hours.zone,
        "text": str(hours),
    }


STORED: dict[str, tuple[str, Form]] = {
    "batch_target": ("batch_target_ms", _ms),
    "speed": ("speed", _share),
    "parallel": ("parallel", _as_is),
    "walk": ("walk", _as_is),
    "waves": ("waves", _as_is),
    "hours": ("hours", _hours),
    "max_replica_lag": ("max_replica_lag_ms", _ms),
    "max_replica_lag_bytes": ("max_replica_lag_bytes", _bytes),
    "replicas": ("replicas", _names),
    "max_slot_wal": ("max_slot_wal_bytes", _bytes),
    "max_wal_rate": ("max_wal_bytes_per_s", lambda rate: int(rate.bytes_per_s)),
    "max_archive_queue": ("max_archive_queue", int),
    "max_active": ("max_active", int),
    "max_lock_waiters": ("max_lock_waiters", int),
    "max_lock_wait": ("max_lock_wait_ms", _ms),
    "rest_for_vacuum": ("rest_for_vacuum_ms", _ms),
    "max_dead_share": ("max_dead_share", _share),
    "vacuum_above": ("vacuum_above", _share),
    "max_xmin_age": ("max_xmin_age_ms", _ms),
    "max_xid_age": ("max_xid_age", int),
    "max_multixact_age": ("max_multixact_age", int),
    "min_free_disk": ("min_free_disk_bytes", _bytes),
    "pause_when": ("pause_when", _signs),
}
"""``hours`` is a gate too, which only the plan sets; here it is when a fill that has begun may go on."""

ALWAYS = frozenset({"batch_target", "speed", "parallel", "walk", "waves"})
"""There is no fill without these, so they cannot be ``none``."""


def pacing(backfill: BackfillSettings) -> dict[str, object]:
    """Return what the plan asks for, as it is stored: what may change at any time without making it another plan."""
    written = {key: getattr(backfill, key) for key in STORED if key in backfill.model_fields_set}
    return {STORED[key][0]: stored(key, value) for key, value in written.items() if value is not None}


def stored(key: str, value: Any) -> object:
    """Return a value of ``backfill`` as it is stored, ready for JSON."""
    return value if value == OFF else STORED[key][1](value)


def text(key: str, value: Any) -> str:
    """Return it as the text of a live setting: JSON, but for the bare word ``none``."""
    form = stored(key, value)
    return form if isinstance(form, str) else json.dumps(form)
