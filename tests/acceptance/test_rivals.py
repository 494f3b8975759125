"""F05, F06, F13: whoever else wants to lead, one does, nothing is done twice, and who lost the lead writes nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osc.pg.embedded import EmbeddedServer
from osc.program import Phase
from tests.acceptance.bench import Bench
from tests.fixtures.sweeping import daily

LEASE_LOST = 75


@pytest.mark.either_version
@pytest.mark.parametrize(
    "point", daily(["batch.before@3", "transaction.before@2", "build.before", "rename.before", "state.before@3"], 2)
)
def test_a_zombie_writes_nothing_more_and_says_that_it_lost_the_lead(
    bench: Bench, undisturbed: Callable[..., Any], point: str
) -> None:
    name, _, passage = point.partition("@")
    zombie = bench.command("apply", f"{name}=stop@{passage or 1}", to="backfill")
    bench.until_stopped(zombie)
    rival = bench.run("apply", to="backfill")  # only after the lease has run out
    assert rival.exit_code == 0
    mark = bench.fingerprint()
    zombie.go_on()
    ended = zombie.wait()
    assert (ended.exit_code, ended.answer["code"]) == (LEASE_LOST, "OSC-T110")
    assert bench.fingerprint() == mark
    assert bench.end() == undisturbed("backfill")


def test_a_zombie_in_the_middle_of_a_takeover_is_fenced_in_its_transaction(bench: Bench) -> None:
    """The epoch in the step's row decides, not what the zombie believes: its session is alive, its statement is sent."""
    zombie = bench.command("apply", "transaction.before=stop@1", to="expand")
    bench.until_stopped(zombie)
    bench.take_the_lead()
    zombie.go_on()
    assert zombie.wait().exit_code == LEASE_LOST
    assert bench.value("SELECT count(*) FROM pg_attribute WHERE attname = 'quantity'") == 0


@pytest.mark.both_versions
def test_an_epoch_that_ends_while_its_transaction_waits_for_the_lock_commits_nothing(
    own_server: Callable[..., EmbeddedServer], tmp_path: Path, schema_dump: Callable[[str], str]
) -> None:
    """Nobody asks, no heartbeat tells, nobody ends its session: the row in its own transaction does (I19)."""
    server = own_server(deadlock_timeout="60s")
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table()
    bench.settings = replace(
        bench.patient, lock_timeout_first_ms=20_000, lock_timeout_max_ms=20_000, heartbeat_s=60.0, lease_s=90.0
    )
    with bench.holding("SELECT count(*) FROM items") as holder:
        zombie = bench.command("apply", to="expand")
        bench.until("SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'DO %' AND wait_event_type = 'Lock'")
        bench.take_the_lead()
        holder.rollback()
    assert zombie.wait().exit_code == LEASE_LOST
    assert bench.value("SELECT count(*) FROM pg_attribute WHERE attname = 'quantity'") == 0
    bench.close()


@pytest.mark.parametrize("number", [2, 10])
def test_of_many_executors_one_leads_and_the_others_return_as_if_they_had(
    bench: Bench, undisturbed: Callable[..., Any], number: int
) -> None:
    commands = [bench.command("apply", to="switch") for _ in range(number)]
    ended = [command.wait(60) for command in commands]
    assert [one.exit_code for one in ended] == [0] * number, ended
    assert bench.value("SELECT count(*) FROM osc.change") == 1
    assert bench.value("SELECT max(attempts) FROM osc.step") == 1
    assert bench.end() == undisturbed("switch")


def test_a_follower_ends_with_the_problem_that_stopped_its_leader(bench: Bench) -> None:
    bench.plan_text += (
        "backfill:\n  run: [{sql: SELECT 1 / (SELECT count(*) FROM public.items WHERE id < 0), undo: SELECT 1}]\n"
    )
    leader = bench.command("apply", "batch.before=sleep:1.5@2", to="backfill")
    bench.until("SELECT count(*) > 0 FROM osc.slice")
    follower = bench.command("advance", to="backfill")
    follower.until_it_says("leads")
    first, second = leader.wait(), follower.wait()
    assert first.exit_code == second.exit_code == 1
    assert first.message == second.message
    assert "division by zero" in first.message


@pytest.mark.anyio
async def test_a_problem_of_an_earlier_run_does_not_end_a_new_one(bench: Bench) -> None:
    await bench.apply(Phase.EXPAND)
    bench.do('UPDATE osc.change SET problem = \'{"message": "old", "exit_code": 1}\'')
    leader = bench.command("advance", "transaction.before=sleep:1@1", to="dual_write")
    bench.until("SELECT count(*) > 0 FROM osc.step WHERE state = 'started'")
    follower = bench.command("advance", to="dual_write")
    assert (leader.wait().exit_code, follower.wait().exit_code) == (0, 0)
    assert bench.problem is None


def test_who_asks_for_less_than_another_is_told_how_far_it_went(bench: Bench) -> None:
    """A forward command whose change another command turned round does not claim that it arrived."""
    forward = bench.command("apply", "batch.before=sleep:1@2", to="switch")
    bench.until("SELECT count(*) > 0 FROM osc.slice")
    back = bench.run("rollback")
    ended = forward.wait()
    assert back.exit_code == 0
    assert ended.exit_code == 5
    assert "another command asked" in ended.message
    assert bench.state == "rolled_back"


def test_a_takeover_stands_in_the_history(bench: Bench) -> None:
    dead = bench.command("apply", "batch.before=kill9@2", to="backfill")
    dead.wait()
    bench.lease_runs_out()
    assert bench.run("advance").exit_code == 0
    assert bench.value("SELECT data ->> 'from' FROM osc.event WHERE kind = 'takeover'").endswith(f":{dead.pid}")
