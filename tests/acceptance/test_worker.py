"""The worker: what --detach leaves its wishes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osc.program import Phase
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.worker import worker
from tests.acceptance.bench import ID, Bench

pytestmark = pytest.mark.anyio


async def detach(bench: Bench, to: Phase) -> None:
    await apply(bench.session(), bench.plan, to=to, detach=True)


async def test_a_worker_does_what_a_detached_apply_wished(bench: Bench, undisturbed: Callable[..., Any]) -> None:
    await detach(bench, Phase.SWITCH)
    assert bench.state == "registered"
    bench.command("worker")
    bench.until("SELECT state = 'switched' FROM osc.change")
    assert bench.end() == undisturbed("switch")


async def test_two_workers_do_it_once(bench: Bench, undisturbed: Callable[..., Any]) -> None:
    workers = [bench.command("worker") for _ in range(2)]
    await detach(bench, Phase.SWITCH)
    bench.until("SELECT state = 'switched' FROM osc.change")
    assert all(one.running for one in workers)
    assert bench.value("SELECT max(attempts) FROM osc.step") == 1
    assert bench.end() == undisturbed("switch")


async def test_a_change_with_a_problem_is_left_alone_until_somebody_asks_again(bench: Bench) -> None:
    bench.plan_text += (
        "dual_write:\n  run: [{sql: 'SELECT 1 / (SELECT count(*) FROM public.permission)', undo: SELECT 1}]\n"
    )
    bench.do("CREATE TABLE permission ()")
    await detach(bench, Phase.DUAL_WRITE)
    for _ in range(3):
        await worker(bench.session(), once=True)
    assert bench.value("SELECT attempts FROM osc.step WHERE kind = 'sql'") == 1
    assert bench.problem is not None
    bench.do("INSERT INTO permission DEFAULT VALUES")
    await advance(bench.session(), ID, to=Phase.DUAL_WRITE, detach=True)
    await worker(bench.session(), once=True)
    assert (bench.state, bench.problem) == ("dual_write", None)


async def test_a_worker_waits_for_a_gate_without_making_history(bench: Bench) -> None:
    bench.plan_text += "switch:\n  require: [{ack: app-2}]\n"
    await detach(bench, Phase.SWITCH)
    bench.command("worker")
    bench.until("SELECT waiting = 'gate' FROM osc.step WHERE kind = 'gate'")
    events = bench.value("SELECT count(*) FROM osc.event")
    bench.sleep(0.5)
    assert bench.value("SELECT count(*) FROM osc.event") == events
    await bench.ack("app-2")
    bench.until("SELECT state = 'switched' FROM osc.change")


async def test_a_worker_leaves_a_paused_change_and_comes_back(bench: Bench) -> None:
    await detach(bench, Phase.BACKFILL)
    command = bench.command("worker", "batch.before=sleep:0.3@2")
    bench.until("SELECT sum(batches) >= 1 FROM osc.slice")
    await bench.pause()
    bench.until("SELECT count(*) = 0 FROM osc.heartbeat WHERE owner IS NOT NULL")
    await bench.resume()
    bench.until("SELECT state = 'backfilled' FROM osc.change")
    assert command.running


async def test_a_worker_outlives_its_server(own_server: Any, tmp_path: Any, schema_dump: Any) -> None:
    server = own_server()
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table()
    command = bench.command("worker")
    bench.sleep(0.3)
    server.crash()
    bench.sleep(0.5)
    server.start_again()
    await detach(bench, Phase.BACKFILL)
    bench.until("SELECT state = 'backfilled' FROM osc.change")
    assert command.running
    bench.close()
