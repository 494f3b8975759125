"""F01, I16: whatever is killed and wherever, the next process comes to the end of an undisturbed run.

By default at a third of the places, at others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from osc.failpoints import PAIRS
from osc.program import Phase
from osc.settings import Settings
from tests.acceptance.bench import ROWS, Bench
from tests.acceptance.processes import ALL_WALKS, ALONG_THE_KEY, QUICK
from tests.fixtures.sweeping import daily

BOTH_SIDES = ("register", "transaction", "build", "rename", "drop_index", "scan", "batch")
"""Elsewhere "before" is where the point before it was "after"."""
LATER = ("scan.after@2", "finish.before@4", "batch.before@5", "rename.before@2", "build.after@2", "transaction.after@3")
"""Points whose later passages are other places: another batch, the second index, a constraint."""
FORWARD = [
    f"{pair}.after" for pair in PAIRS if pair not in ("migrate", "word", "undo", "problem", "drop_slices", "forget")
] + [f"{pair}.before" for pair in BOTH_SIDES]
LIVES_MAX = 60
BACK = ("undo.before", "undo.after", "transaction.before", "transaction.after@2", "start.before@2", "start.after@3",
        "rename.after", "drop_index.before", "drop_index.after", "finish.before@2", "state.before@2", "state.after")  # fmt: skip
HALFWAY = ("transaction.before", "transaction.after", "batch.after@3", "build.before", "build.after", "rename.before",
           "scan.before", "scan.after", "verify.before", "finish.before@3")  # fmt: skip
CONFLICT = 5


def told(walk: int) -> Settings:
    """Return the settings of one of the walks."""
    name, waves, lanes = ALL_WALKS[walk]
    return replace(QUICK, walk=name, waves=waves, lanes=lanes)


def armed(point: str) -> str:
    name, _, passage = point.partition("@")
    return f"{name}=kill9@{passage or 1}"


@pytest.mark.anyio
@pytest.mark.parametrize("point", daily([*FORWARD, *LATER], 3))
async def test_killed_forward_the_next_process_comes_to_the_same_end(
    bench: Bench, undisturbed: Callable[..., Any], point: str
) -> None:
    if point == "batch.before@5":
        bench.settings = ALONG_THE_KEY
    assert bench.killed("apply", armed(point), to="contract")
    if point == "register.before":
        await bench.apply(Phase.CONTRACT)
    await bench.advance(Phase.CONTRACT)
    assert bench.end() == undisturbed()
    assert bench.leftovers() == []


@pytest.mark.anyio
@pytest.mark.parametrize("walk", range(len(ALL_WALKS)))
async def test_killed_in_any_walk_the_next_process_comes_to_the_same_end(
    bench: Bench, undisturbed: Callable[..., Any], walk: int
) -> None:
    """Between two waves, ahead of the checkpoint and behind it, with one lane and with several."""
    bench.settings = told(walk)
    for point in ("batch.after@2", "batch.before@6", "batch.after@11"):
        bench.killed("apply", armed(point), to="contract")  # the last one may find nothing left to do
    await bench.advance(Phase.CONTRACT)
    assert bench.end() == undisturbed()
    assert bench.leftovers() == []


@pytest.mark.anyio
@pytest.mark.parametrize("point", daily(BACK, 3))
async def test_killed_on_the_way_back_the_next_rollback_leaves_everything_as_it_was(bench: Bench, point: str) -> None:
    schema, data = bench.schema, bench.data
    await bench.apply(Phase.SWITCH)
    assert bench.killed("rollback", armed(point))
    await bench.rollback()
    assert (bench.schema, bench.data, bench.state, bench.leftovers()) == (schema, data, "rolled_back", [])


@pytest.mark.anyio
@pytest.mark.parametrize("point", daily(HALFWAY, 3))
async def test_rollback_after_a_kill_in_the_middle_of_a_phase_leaves_everything_as_it_was(
    bench: Bench, point: str
) -> None:
    schema, data = bench.schema, bench.data
    assert bench.killed("apply", armed(point), to="switch")
    await bench.rollback()
    assert (bench.schema, bench.data, bench.state, bench.leftovers()) == (schema, data, "rolled_back", [])


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["killed", "turned round"])
async def test_whoever_stops_right_behind_the_switch_can_still_go_back(bench: Bench, how: str) -> None:
    """Between the switch and the rows of the steps that only its undo needs: the way back begins with their undo."""
    schema, data = bench.schema, bench.data
    await bench.apply(Phase.BACKFILL)
    if how == "killed":
        assert bench.killed("advance", "transaction.after=kill9@1", to="switch")
    else:
        forward = bench.command("advance", "transaction.after=sleep:1@1", to="switch")
        bench.until("SELECT state = 'done' FROM osc.step WHERE step = 'switch.01.switch'")
    await bench.rollback()
    assert (bench.schema, bench.data, bench.state, bench.leftovers()) == (schema, data, "rolled_back", [])
    assert how == "killed" or forward.wait().exit_code == CONFLICT


@pytest.mark.either_version
@pytest.mark.parametrize("passages", daily([17, 23], 2))
def test_a_change_that_is_killed_again_and_again_arrives(
    bench: Bench, undisturbed: Callable[..., Any], passages: int
) -> None:
    bench.settings = replace(bench.settings, lanes=1)  # the claims of several are more passages than a life has
    lives = 0
    while bench.killed("apply", f"*=kill9@{passages}", to="contract"):
        lives += 1
        assert lives < LIVES_MAX
    assert bench.end() == undisturbed()
    assert lives > 3


@pytest.mark.either_version
@pytest.mark.parametrize("passages", daily([19, 31], 2))
def test_a_rollback_that_is_killed_again_and_again_arrives(bench: Bench, passages: int) -> None:
    schema, data = bench.schema, bench.data
    assert bench.run("apply", to="switch").exit_code == 0
    lives = 0
    while bench.killed("rollback", f"*=kill9@{passages}"):
        lives += 1
        assert lives < LIVES_MAX
    assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")
    assert lives > 1


@pytest.mark.anyio
async def test_killed_at_random_instants_under_a_writer_no_write_is_lost(bench: Bench) -> None:
    """The writer counts what the server acknowledged; in the end both columns say so."""
    chance = random.Random(7)
    writer = Writer(bench.dsn)
    writer.start()
    try:
        for _ in range(4):
            command = bench.command("apply", to="backfill")
            bench.until("SELECT coalesce(sum(batches), 0) > 0 FROM osc.slice")
            threading.Event().wait(chance.uniform(0.0, 0.3))
            command.kill()
            command.wait()
            bench.lease_runs_out()
        await bench.advance()
    finally:
        writer.end()
    assert bench.look("SELECT id, qty FROM items WHERE qty IS DISTINCT FROM quantity") == []
    assert dict(bench.look("SELECT id, qty FROM items")) == writer.acknowledged  # type: ignore[arg-type]


class Writer(threading.Thread):
    """An old application that adds to ``qty`` of one row after the other."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self._dsn, self._end, self._chance = dsn, threading.Event(), random.Random(1)
        self.acknowledged = {n: n % 7 for n in range(1, ROWS + 1)}

    def run(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            while not self._end.is_set():
                row = self._chance.randint(1, ROWS)
                conn.execute("UPDATE items SET qty = qty + 1 WHERE id = %s", (row,))
                self.acknowledged[row] += 1

    def end(self) -> None:
        self._end.set()
        self.join(10)
