"""F16: each role of session is terminated or cancelled in the middle of an exchange, in each kind of step, there and back.

By default a ninth of the cases, others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.acceptance.bench import Bench
from tests.fixtures.sweeping import daily

PHASES = {"expand": None, "backfill": "dual_write", "switch": "backfill", "contract": "switch", "back": "switch"}
"""Where the command begins that is struck in that phase."""
ROLES = {
    "control": ("start.before", "LOCK TABLE osc.step IN EXCLUSIVE MODE"),
    "work": ("transaction.before", "LOCK TABLE osc.step IN EXCLUSIVE MODE"),
    "heartbeat": ("transaction.before", "LOCK TABLE osc.heartbeat, osc.step IN EXCLUSIVE MODE"),
    "fill": ("batch.before", "LOCK TABLE items IN SHARE MODE"),
    "verify": ("verdict.after", "LOCK TABLE items IN ACCESS EXCLUSIVE MODE"),
    "observer": ("transaction.before", ""),
}
"""The place where the process stands, and what then holds up the next exchange of that role; the observer asks nobody's table."""
STRIKES = ("pg_terminate_backend", "pg_cancel_backend")
CASES = [
    (role, phase, strike)
    for role in ROLES
    for phase in PHASES
    for strike in STRIKES
    if (phase == "backfill") == (role in ("fill", "verify")) and (role, strike) != ("observer", "pg_cancel_backend")
]


@pytest.mark.parametrize(("role", "phase", "strike"), daily(CASES, 18))
def test_it_arrives_all_the_same_and_nothing_is_done_twice(
    bench: Bench, undisturbed: Callable[..., Any], role: str, phase: str, strike: str
) -> None:
    schema, data = bench.schema, bench.data
    begins, verb, to = PHASES[phase], "rollback" if phase == "back" else "apply", None if phase == "back" else phase
    assert begins is None or bench.run("apply", to=begins).exit_code == 0
    point, lock = ROLES[role]
    command = bench.command(verb, f"{point}=stop", to=to, settings=replace(bench.patient, lease_s=6.0))
    bench.until_stopped(command)
    with bench.holding(lock or "SELECT 1"):
        busy = "wait_event_type = 'Lock'" if lock else "true"
        command.go_on()
        bench.until(
            f"SELECT count({strike}(pid)) FROM pg_stat_activity WHERE datname = current_database() AND {busy}"
            " AND application_name LIKE '%%:' || %s", role,
        )  # fmt: skip
        bench.sleep(0.1)
    assert command.wait().exit_code == 0
    if phase == "back":
        assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")
    else:
        assert bench.end() == undisturbed(phase)
    assert bench.leftovers() == []
