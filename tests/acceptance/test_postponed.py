"""A switch that is postponed: whoever leads meanwhile looks at some rows, and says at once what is out of step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from osc.errors import GateClosed
from osc.program import Phase
from osc.verbs.advance import advance
from osc.verbs.standing import Standing
from osc.verbs.status import status
from tests.acceptance.bench import ID, Bench

APPROVAL = "switch:\n  require: [{approval: dba}]\n"
ALWAYS: dict[str, Any] = {"sample_every_s": 0.0}
SEEN = "SELECT count(*) FROM osc.step WHERE result->'sampled' IS NOT NULL"
NOTICED = "SELECT count(*) FROM osc.event WHERE kind = 'sampled out of step'"
TAKEN_AT = "SELECT max(result->'sampled'->>'at') FROM osc.step"


@pytest.fixture
def waiting(bench: Bench) -> Bench:
    """Give a bench whose change waits for an approval in front of its switch."""
    bench.plan_text += APPROVAL
    assert bench.run("apply", to="backfill").exit_code == 0
    return bench


def behind_the_trigger(bench: Bench, what: str) -> None:
    """Write as if the trigger were off for a moment; what it looks like in the catalog stays as it was."""
    bench.do(f"DO $$ BEGIN SET LOCAL osc.writer = 'backfill'; {what}; END $$")


async def standing(bench: Bench, **settings: Any) -> Standing:
    return (await status(bench.session(**settings), ID)).changes[0]


@pytest.mark.anyio
async def test_in_front_of_a_closed_gate_a_clean_sample_is_recorded(waiting: Bench) -> None:
    with pytest.raises(GateClosed):
        await advance(waiting.session(**ALWAYS), ID, to=Phase.SWITCH)
    now = await standing(waiting)
    (seen,) = now.sampled
    assert (seen["table"], seen["rows"], seen["mismatches"]) == ("public.items", 400, 0)
    assert now.verified[0]["rows"] == 400
    assert "sampled" not in now.waiting
    assert waiting.value(NOTICED) == 0
    assert waiting.value("SELECT count(*) FROM osc.verification") == 1
    assert waiting.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%:sample'") == 0


@pytest.mark.anyio
async def test_rows_out_of_step_are_told_and_everything_is_verified_before_the_switch(waiting: Bench) -> None:
    behind_the_trigger(waiting, "UPDATE items SET quantity = 1000 WHERE id = 77")
    command = waiting.command("advance", to="switch", settings=replace(waiting.settings, **ALWAYS))
    assert command.wait().exit_code == 4
    assert "1 of 400 rows of public.items that were sampled are out of step: (77)" in command.reports()[-1]["message"]
    assert waiting.look("SELECT data->>'table', data->>'rows', data->>'mismatches' FROM osc.event WHERE kind = 'sampled out of step'") == [
        ("public.items", "400", "1")
    ]  # fmt: skip
    assert waiting.value("SELECT data::text FROM osc.event WHERE kind = 'sampled out of step'").count("77") == 0
    now = await standing(waiting)
    assert now.waiting.endswith("1 of 400 rows of public.items that were sampled are out of step")
    assert now.verified[0]["mismatches"] == 1
    await waiting.ack("dba")
    refused = waiting.run("advance", to="switch")
    assert (refused.exit_code, refused.answer["facts"]["keys"]) == (3, [["77"]])
    waiting.do("UPDATE items SET qty = qty + 1 WHERE id = 77")
    assert waiting.run("advance", to="switch").exit_code == 0
    assert waiting.value("SELECT mismatches FROM osc.verification ORDER BY verification DESC LIMIT 1") == 0


@pytest.mark.anyio
async def test_what_was_told_is_not_told_again_until_it_was_verified(waiting: Bench) -> None:
    behind_the_trigger(waiting, "UPDATE items SET quantity = 1000 WHERE id = 77")
    for _ in range(2):
        with pytest.raises(GateClosed):
            await advance(waiting.session(**ALWAYS), ID, to=Phase.SWITCH)
    assert waiting.value(NOTICED) == 1
    behind_the_trigger(waiting, "UPDATE items SET quantity = qty WHERE id = 77")
    assert waiting.run("verify").exit_code == 0
    assert "sampled" not in (await standing(waiting)).waiting
    with pytest.raises(GateClosed):
        await advance(waiting.session(**ALWAYS), ID, to=Phase.SWITCH)
    assert [one["mismatches"] for one in (await standing(waiting)).sampled] == [0]


@pytest.mark.anyio
async def test_no_range_that_was_clean_before_is_trusted_any_more(waiting: Bench) -> None:
    """A pass that was broken off goes on with the ranges that are left; not over rows that were found out of step since."""
    waiting.do(
        "INSERT INTO osc.verification (change, step, triggers) SELECT change, step, triggers FROM osc.verification"
    )
    behind_the_trigger(waiting, "UPDATE items SET quantity = 1000 WHERE id = 77")
    with pytest.raises(GateClosed):
        await advance(waiting.session(**ALWAYS), ID, to=Phase.SWITCH)
    assert waiting.look("SELECT finished_at IS NOT NULL, mismatches FROM osc.verification") == [(True, 1)]


@pytest.mark.anyio
async def test_what_was_looked_at_lately_is_not_looked_at_again(waiting: Bench) -> None:
    with pytest.raises(GateClosed):
        await advance(waiting.session(), ID, to=Phase.SWITCH)
    assert waiting.value(SEEN) == 0, "the verification is not older"
    waiting.do("UPDATE osc.verification SET started_at = started_at - interval '10 min'")
    with pytest.raises(GateClosed):
        await advance(waiting.session(), ID, to=Phase.SWITCH)
    first = waiting.value(TAKEN_AT)
    assert first is not None
    with pytest.raises(GateClosed):
        await advance(waiting.session(), ID, to=Phase.SWITCH)
    assert waiting.value(TAKEN_AT) == first


def test_a_worker_looks_while_its_change_waits(waiting: Bench) -> None:
    assert waiting.run("advance", to="switch", detach=True).exit_code == 0
    often = replace(waiting.settings, worker_gate_poll_max_s=0.2, **ALWAYS)
    worker = waiting.command("worker", settings=often)
    waiting.until(SEEN)
    behind_the_trigger(waiting, "UPDATE items SET quantity = 1000 WHERE id = 77")
    assert "out of step: (77)" in worker.until_it_says("that were sampled")["message"]
    waiting.until(NOTICED)


@pytest.mark.anyio
async def test_a_worker_does_not_look_while_its_change_is_paused(waiting: Bench) -> None:
    await waiting.pause()
    assert waiting.run("advance", to="switch", detach=True).exit_code == 0
    worker = waiting.command("worker", settings=replace(waiting.settings, **ALWAYS))
    await anyio.sleep(1.0)
    assert (worker.running, waiting.value(SEEN)) == (True, 0)
    await waiting.resume()
    waiting.until(SEEN)


def test_while_the_lock_is_not_to_be_had_rows_are_looked_at(bench: Bench) -> None:
    assert bench.run("apply", to="backfill").exit_code == 0
    with bench.holding("SELECT count(*) FROM items"):
        command = bench.command("advance", to="switch", settings=replace(bench.settings, sample_every_s=0.2))
        assert command.until_it_says("waiting for a lock")
        bench.until(SEEN)
        assert bench.value(NOTICED) == 0
        behind_the_trigger(bench, "UPDATE items SET quantity = 1000 WHERE id = 77")
        refused = command.wait()
    assert (refused.exit_code, refused.answer["facts"]["keys"]) == (3, [["77"]])
    assert bench.value(NOTICED) == 1
    assert [one["message"] for one in command.reports() if "that were sampled" in one["message"]]


@pytest.mark.anyio
async def test_while_the_lock_is_not_to_be_had_a_pause_holds(bench: Bench) -> None:
    assert bench.run("apply", to="backfill").exit_code == 0
    with bench.holding("SELECT count(*) FROM items"):
        command = bench.command("advance", to="switch", settings=replace(bench.settings, sample_every_s=0.2))
        bench.until(SEEN)
        await bench.pause()
        assert command.until_it_says("paused by test")
        last = bench.value(TAKEN_AT)
        await anyio.sleep(1.0)
        assert bench.value(TAKEN_AT) == last
        await bench.resume()
        bench.until(f"SELECT ({TAKEN_AT}) > %s", last)
    assert command.wait().exit_code == 0


def test_a_sample_that_the_server_refuses_keeps_nothing_from_going_on(bench: Bench) -> None:
    assert bench.run("apply", to="backfill").exit_code == 0
    impossible = replace(bench.settings, sample_every_s=0.1, sample_page_ms=10**12)
    with bench.holding("SELECT count(*) FROM items"):
        command = bench.command("advance", to="switch", settings=impossible)
        assert command.until_it_says("waiting for a lock")
        bench.sleep(1.0)
        assert command.running
    assert command.wait().exit_code == 0
    assert bench.value(SEEN) == 0
