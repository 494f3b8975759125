"""Knobs are the pacing keys of a plan, checked like a plan's, and only those that something acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import UsageError
from osc.linter.rules.not_in_force import NOT_YET
from osc.plan.pacing import STORED
from osc.plan.phases import PACING
from osc.state import settings
from osc.verbs.set_knob import set_knob
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("key", "value", "stored", "number"),
    [
        ("speed", "25%", "speed", 0.25),
        ("speed", "0.5", "speed", 0.5),
        ("batch_target", "50ms", "batch_target_ms", 50),
        ("max_replica_lag", "2s", "max_replica_lag_ms", 2_000),
        ("max_slot_wal", "1GB", "max_slot_wal_bytes", 10**9),
        ("max_wal_rate", "5MB/s", "max_wal_bytes_per_s", 5 * 10**6),
        ("max_active", "40", "max_active", 40),
    ],
)
async def test_it_is_in_force_at_once(
    session: Session, conn: Connection, change: Change, key: str, value: str, stored: str, number: float
) -> None:
    await set_knob(session, ID, key, value, ttl=3600, reason="busy evening")
    knob = (await settings.knobs(conn, ID, change.tables))[stored]
    assert (float(knob.value), knob.set_by, knob.reason) == (number, "ann@laptop", "busy evening")
    assert knob.expires_in_s == pytest.approx(3600, abs=60)


async def test_it_can_be_taken_back(session: Session, conn: Connection, change: Change) -> None:
    await set_knob(session, ID, "speed", "25%")
    await set_knob(session, ID, "speed", None)
    assert await settings.knobs(conn, ID, change.tables) == {}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("speed", "300%", "not a share"),
        ("speed", "fast", "not a share"),
        ("batch_target", "50", "has no unit"),
        ("batch_target", "1h", "outside the allowed range"),
        ("waves", "4", "no effect in this version"),
        ("triggers", "fire", "no setting that can be changed live"),
        ("sped", "50%", "no setting"),
    ],
)
async def test_what_is_wrong_is_refused_before_anything_is_connected(
    session: Session, key: str, value: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        await set_knob(session, ID, key, value)


def test_every_pacing_key_is_either_set_or_known_not_to_be_in_force() -> None:
    assert set(STORED) == PACING - set(NOT_YET["backfill"])
