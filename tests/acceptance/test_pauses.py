"""I20: a pause commits at once, what is in flight ends, nothing more is written; and rollback turns a leader round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osc.program import Phase
from tests.acceptance.bench import ID, Bench

pytestmark = pytest.mark.anyio

SCOPES = (f"change:{ID}", "table:public.items", "*")


@pytest.mark.parametrize("scope", SCOPES)
async def test_paused_in_the_fill_nothing_is_written_until_it_is_resumed(
    bench: Bench, undisturbed: Callable[..., Any], scope: str
) -> None:
    command = bench.command("apply", "batch.after=sleep:0.3@2", to="backfill")
    bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    await bench.pause(scope)
    assert command.until_it_says("paused by test")["waiting"] == "paused"
    mark = bench.fingerprint()
    bench.sleep(0.5)
    assert bench.fingerprint() == mark
    assert command.running
    await bench.resume(scope)
    assert command.wait().exit_code == 0
    assert bench.end() == undisturbed("backfill")


@pytest.mark.parametrize("point", ["batch.before@3", "transaction.before@2", "rename.before"])
async def test_a_pause_binds_a_process_that_was_stopped_before_it(bench: Bench, point: str) -> None:
    """It believes that it may write; the statement it sends reads the pause (I20)."""
    name, _, passage = point.partition("@")
    command = bench.command("apply", f"{name}=stop@{passage or 1}", to="backfill")
    bench.until_stopped(command)
    await bench.pause()
    mark = bench.rows_and_catalog()
    command.go_on()
    command.until_it_says("paused by test")
    assert bench.rows_and_catalog() == mark
    await bench.resume()
    assert command.wait().exit_code == 0


async def test_a_pause_is_committed_while_a_batch_and_a_takeover_hang(bench: Bench) -> None:
    command = bench.command("apply", "batch.before=stop@2", to="backfill")
    bench.until_stopped(command)
    command.kill()
    await bench.pause()
    assert bench.value("SELECT paused FROM osc.change")
    bench.lease_runs_out()
    successor = bench.command("advance")
    successor.until_it_says("paused by test")
    await bench.resume()
    assert successor.wait().exit_code == 0


@pytest.mark.parametrize("when", ["fill", "rest"])
async def test_a_rollback_wished_while_another_leads_forward_turns_it_round(bench: Bench, when: str) -> None:
    schema, data = bench.schema, bench.data
    command = bench.command("apply", "batch.after=sleep:0.5@3", to="switch")
    bench.until("SELECT sum(batches) >= 3 FROM osc.slice")
    if when == "rest":
        command.kill()
        command.wait()
        bench.lease_runs_out()
    assert bench.run("rollback").exit_code == 0
    if when == "fill":
        assert command.wait().exit_code == 5
    assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")


async def test_a_nearer_target_stops_the_leader_there(bench: Bench) -> None:
    command = bench.command("apply", "batch.after=sleep:0.5@3", to="switch")
    bench.until("SELECT sum(batches) >= 3 FROM osc.slice")
    nearer = bench.run("advance", to="backfill")
    assert (nearer.exit_code, command.wait().exit_code) == (0, 5)
    assert bench.state == "backfilled"
    await bench.advance(Phase.SWITCH)


async def test_a_rollback_begun_can_go_further_back_but_not_less_far(bench: Bench) -> None:
    schema = bench.schema
    await bench.apply(Phase.SWITCH)
    assert bench.killed("rollback", "undo.after=kill9@9")
    assert bench.state == "rolling_back"
    less = bench.run("rollback", to="backfill")
    assert less.exit_code == 5
    assert bench.run("advance", to="switch").exit_code == 5
    await bench.rollback()
    assert (bench.schema, bench.state) == (schema, "rolled_back")
