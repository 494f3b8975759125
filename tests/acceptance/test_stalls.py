"""F07, F08: a process without memory, and one whose event loop stands still for longer than its lease.

By default one of the places, others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.bench import Bench
from tests.fixtures.sweeping import daily

PLACES = ("transaction.before", "transaction.after", "batch.before@3", "build.before", "rename.before", "verify.before",
          "finish.before@3", "state.before@3")  # fmt: skip
STALLS = ("transaction.before", "batch.before@3", "build.before")
LEASE_LOST = 75
LONGER_THAN_THE_LEASE = 2.6


def armed(place: str, action: str) -> str:
    point, _, passage = place.partition("@")
    return f"{point}={action}@{passage or 1}"


@pytest.mark.parametrize("place", daily(PLACES, 8))
def test_without_memory_it_gives_the_lead_up_and_the_next_comes_to_the_same_end(
    bench: Bench, undisturbed: Callable[..., Any], place: str
) -> None:
    assert bench.run("apply", armed(place, "memory"), to="backfill").exit_code == 1
    assert bench.run("apply", to="backfill").exit_code == 0
    assert bench.value("SELECT count(*) FROM osc.event WHERE kind = 'takeover'") == 0, "the lead was not given up"
    assert bench.end() == undisturbed("backfill")


@pytest.mark.parametrize("place", daily(STALLS, 3))
def test_what_wakes_up_after_a_stall_writes_nothing_under_its_old_epoch(
    bench: Bench, undisturbed: Callable[..., Any], place: str
) -> None:
    stalled = bench.command("apply", armed(place, f"stall:{2 * LONGER_THAN_THE_LEASE}"), to="backfill")
    bench.until("SELECT count(*) > 0 FROM osc.heartbeat WHERE expires_at < clock_timestamp()")
    assert bench.run("apply", to="backfill").exit_code == 0
    assert stalled.wait().exit_code == LEASE_LOST
    takeover = bench.value("SELECT min(event) FROM osc.event WHERE kind = 'takeover'")
    assert bench.look("SELECT kind FROM osc.event WHERE event > %s AND epoch = 1", takeover) == []
    assert bench.value("SELECT max(attempts) FROM osc.step") <= 2
    assert bench.end() == undisturbed("backfill")


def test_a_stall_in_which_nobody_came_changes_nothing(bench: Bench, undisturbed: Callable[..., Any]) -> None:
    assert bench.run("apply", armed("batch.before@3", f"stall:{LONGER_THAN_THE_LEASE}"), to="backfill").exit_code == 0
    assert bench.end() == undisturbed("backfill")
