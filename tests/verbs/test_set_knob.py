"""Knobs are the pacing keys of a plan, checked like a plan's, and only those that something acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import UsageError
from osc.executor.backfill.pace import in_force
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


HOURS = {"days": [0, 1, 2, 3, 4], "since": 1320, "until": 360, "zone": "UTC", "text": "Mon-Fri 22:00-06:00 UTC"}


@pytest.mark.parametrize(
    ("key", "value", "stored", "means"),
    [
        ("speed", "25%", "speed", 0.25),
        ("speed", "0.5", "speed", 0.5),
        ("batch_target", "50ms", "batch_target_ms", 50),
        ("max_replica_lag", "2s", "max_replica_lag_ms", 2_000),
        ("max_replica_lag", "none", "max_replica_lag_ms", "none"),
        ("replicas", "{exclude: [dr-*]}", "replicas", {"include": [], "exclude": ["dr-*"]}),
        ("max_slot_wal", "1GB", "max_slot_wal_bytes", 10**9),
        ("max_wal_rate", "5MB/s", "max_wal_bytes_per_s", 5 * 10**6),
        ("max_active", "40", "max_active", 40),
        ("max_dead_share", "30%", "max_dead_share", 0.3),
        ("vacuum_above", "20%", "vacuum_above", 0.2),
        (
            "pause_when",
            "[{file: /tmp/stop}, {sql: SELECT true}]",
            "pause_when",
            [{"file": "/tmp/stop"}, {"sql": "SELECT true"}],
        ),
        ("pause_when", "none", "pause_when", "none"),
        ("hours", "Mon-Fri 22:00-06:00 UTC", "hours", HOURS),
    ],
)
async def test_it_is_in_force_at_once(
    session: Session, conn: Connection, change: Change, key: str, value: str, stored: str, means: object
) -> None:
    await set_knob(session, ID, key, value, ttl=3600, reason="busy evening")
    knob = (await settings.knobs(conn, ID, change.tables))[stored]
    assert (in_force(knob.value), knob.set_by, knob.reason) == (means, "ann@laptop", "busy evening")
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
        ("waves", "65", "whole number from 1 to 64"),
        ("walk", "sideways", "'keyset', 'blocks' or 'auto'"),
        ("parallel", "none", "auto"),
        ("triggers", "fire", "no setting that can be changed live"),
        ("sped", "50%", "no setting"),
        ("speed", "none", "not a share"),
        ("pause_when", "/tmp/stop", "a list or mapping is expected"),
        ("pause_when", "[{flag: /tmp/stop}]", "exactly one of"),
        ("pause_when", "[{http: 'http://ann:secret@h/'}]", "must not carry a password"),
        ("pause_when", "[{sql: 'SELECT true; COMMIT'}]", "one statement"),
        ("pause_when", "[{sql: ", "cannot be read"),
    ],
)
async def test_what_is_wrong_is_refused_before_anything_is_connected(
    session: Session, key: str, value: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        await set_knob(session, ID, key, value)


def test_every_pacing_key_can_be_set_live() -> None:
    assert set(STORED) - {"hours"} == PACING
