"""Several processes walk one fill: each slice by one of them, and whoever dies is done without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.acceptance.bench import Bench
from tests.acceptance.processes import QUICK

PARALLEL = replace(QUICK, walk="keyset", waves=1, lanes=2, batch_rows_first=10, batch_rows_max=10, worker_silent_s=1.5)
OWNERS = "SELECT count(DISTINCT owner) FROM osc.slice WHERE owner IS NOT NULL AND NOT finished"


@pytest.fixture
def busy(bench: Bench) -> Bench:
    """Give a bench whose table is long enough to be cut, and whose processes want several lanes."""
    bench.do(
        "INSERT INTO items SELECT n, n % 7, repeat('note ', 30) || n FROM generate_series(401, 900) AS n",
        "ANALYZE items",
    )
    bench.settings = PARALLEL
    bench.plan_text += "backfill: {speed: 5%}\n"
    return bench


def test_a_worker_helps_with_the_fill_that_another_leads(busy: Bench) -> None:
    leader = busy.command("apply", to="backfill")
    busy.until("SELECT count(*) = 4 FROM osc.slice")
    helper = busy.command("worker")
    busy.until(f"SELECT ({OWNERS}) = 2")
    assert helper.until_it_says("helps: Fill")
    assert leader.wait(60).exit_code == 0
    assert busy.look("SELECT id FROM items WHERE qty IS DISTINCT FROM quantity") == []
    assert busy.value("SELECT sum(rows_filled) FROM osc.slice") == 900
    assert helper.running


@pytest.mark.parametrize("who", ["helper", "leader"])
def test_whoever_is_killed_the_rest_goes_on_without(busy: Bench, who: str) -> None:
    leader = busy.command("apply", to="backfill")
    busy.until("SELECT count(*) = 4 FROM osc.slice")
    helper = busy.command("worker")
    busy.until(f"SELECT ({OWNERS}) = 2")
    (helper if who == "helper" else leader).kill()
    if who == "helper":
        assert leader.wait(60).exit_code == 0
    else:
        busy.until("SELECT count(*) = 1 FROM osc.change WHERE state = 'backfilled'", within_s=60)
    assert busy.look("SELECT id FROM items WHERE qty IS DISTINCT FROM quantity") == []
    assert busy.value("SELECT bool_and(finished) FROM osc.slice")


def test_where_one_lane_is_wanted_nobody_helps(busy: Bench, undisturbed: Callable[..., Any]) -> None:
    busy.settings = replace(PARALLEL, lanes=1)
    leader = busy.command("apply", to="backfill")
    busy.until("SELECT sum(batches) > 1 FROM osc.slice")
    helper = busy.command("worker")
    busy.until("SELECT sum(batches) > 9 FROM osc.slice")
    assert busy.value(OWNERS) == 1
    assert not [one for one in helper.reports() if "helps" in one["message"]]
    assert leader.running
