"""I1-I8, I13: two versions of the application write, really concurrently, in every phase; nothing is lost or changed.

`OSC_TEST_EXAMPLES=n` plays n schedules. A failing one prints as a `Schedule(...)` that `run` replays.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from osc.pg.embedded import EmbeddedServer
from tests.concurrent.run import run
from tests.concurrent.schedule import SCHEDULES, Schedule
from tests.fixtures.postgres import Databases

WISHED = os.environ.get("OSC_TEST_EXAMPLES", "40" if os.environ.get("OSC_TEST_SWEEP") == "1" else "2")


@pytest.mark.both_versions
@pytest.mark.timeout(int(WISHED) * 120)  # each example is a whole change
@given(schedule=SCHEDULES)
@settings(max_examples=int(WISHED), derandomize=True, deadline=None, database=None,
          phases=(Phase.explicit, Phase.generate) if WISHED == "2" else tuple(Phase),
          suppress_health_check=list(HealthCheck))  # fmt: skip
def test_whoever_writes_in_whatever_phase_every_version_of_a_row_is_as_the_acknowledged_writes_say(
    server: EmbeddedServer, databases: Databases, schema_dump: Callable[[str], str], schedule: Schedule
) -> None:
    name = databases.take(server)
    try:
        with tempfile.TemporaryDirectory() as place:
            ledger = run(schedule, server.dsn(name), Path(place), schema_dump)
    finally:
        databases.give_back(server, name)
    assert ledger.wrong == []
    assert ledger.outcomes["ok"] > 0
