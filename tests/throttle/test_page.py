"""The page of limits says what the program does: every key, and the defaults in numbers."""

from __future__ import annotations

import re
from pathlib import Path

from osc.executor.throttle import archiver, replicas, slots, vacuum, waiters
from osc.plan.pacing import ALWAYS, STORED
from osc.settings import DEFAULTS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "throttle.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))


def test_every_limit_has_a_row() -> None:
    assert set(ROWS) == set(STORED) - ALWAYS - {"replicas", "vacuum_above"}


def test_defaults_are_those_of_the_program() -> None:
    told = {
        "max_replica_lag": f" {replicas.DEFAULT_MS / 1000:g} s, ",
        "max_slot_wal": f" {slots.SHARE_MAX * 100:g} % of `max_slot_wal_keep_size`",
        "max_archive_queue": f"| {archiver.DEFAULT} |",
        "max_lock_wait": f"| {waiters.DEFAULT_MS} ms |",
        "rest_for_vacuum": f"| {vacuum.DEFAULT_MS / 60_000:g} min for one that prevents wraparound",
    }
    assert not {key: said for key, said in told.items() if said not in ROWS[key]}


def test_what_is_said_of_vacuums_is_so() -> None:
    assert f"At most every {DEFAULTS.vacuum_every_s / 60:g} minutes" in PAGE
    assert "never two at a time" in PAGE
