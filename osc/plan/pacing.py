"""The pacing that the engine acts on: under which key and in which form it is stored, by ``apply`` and by ``set``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from osc.plan.phases import BackfillSettings

STORED: dict[str, tuple[str, Callable[[Any], int | float]]] = {
    "batch_target": ("batch_target_ms", lambda duration: int(duration.ms)),
    "speed": ("speed", lambda share: float(share.share)),
    "max_replica_lag": ("max_replica_lag_ms", lambda duration: int(duration.ms)),
    "max_slot_wal": ("max_slot_wal_bytes", lambda size: int(size.bytes)),
    "max_wal_rate": ("max_wal_bytes_per_s", lambda rate: int(rate.bytes_per_s)),
    "max_active": ("max_active", int),
}


def pacing(backfill: BackfillSettings) -> dict[str, object]:
    """Return what the plan asks for, as it is stored: what may change at any time without making it another plan."""
    written = {key: getattr(backfill, key) for key in STORED}
    return {STORED[key][0]: STORED[key][1](value) for key, value in written.items() if value is not None}
