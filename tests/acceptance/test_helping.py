"""Several processes walk one fill: each slice by one of them, and whoever dies is done without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from osc.verbs.status import status
from tests.acceptance.bench import ID, Bench
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


PARTITIONED = """\
osc: 1
title: Sizes become bigint
owner: stock-team
operations:
  - change_column: {table: stock, column: size, to: extent, type: bigint, up: size, down: "extent::int"}
backfill: {speed: 5%}
"""


@pytest.fixture
def parted(bench: Bench) -> Bench:
    """Give a bench whose plan is of a partitioned table of four leaves."""
    leaves = [
        f"CREATE TABLE stock_{n} PARTITION OF stock FOR VALUES FROM ({n * 250}) TO ({(n + 1) * 250})" for n in range(4)
    ]
    bench.do(
        "CREATE TABLE stock (id bigint PRIMARY KEY, size int, note text) PARTITION BY RANGE (id)",
        *leaves,
        "INSERT INTO stock SELECT n, n % 7, repeat('note ', 30) || n FROM generate_series(0, 999) AS n",
        "ANALYZE stock",
    )
    bench.settings, bench.plan_text = PARALLEL, PARTITIONED
    return bench


@pytest.mark.parametrize("killed", [None, "helper", "leader"])
def test_a_worker_helps_with_the_leaves_of_a_partitioned_table(parted: Bench, killed: str | None) -> None:
    """Each leaf by one of them at a time, one that comes meanwhile as well, and whoever is killed is done without."""
    leader = parted.command("apply", to="backfill")
    parted.until("SELECT count(DISTINCT to_jsonb(s)->>'leaf') = 4 FROM osc.slice AS s")
    helper = parted.command("worker")
    parted.until(f"SELECT ({OWNERS}) = 2")
    assert helper.until_it_says("helps: Fill")
    parted.do(
        "CREATE TABLE stock_4 PARTITION OF stock FOR VALUES FROM (1000) TO (1250)",
        "INSERT INTO stock SELECT n, n % 7, 'late' FROM generate_series(1000, 1099) AS n",
        "UPDATE stock_4 SET note = 'later' WHERE id = 1001",
    )
    if killed:
        (helper if killed == "helper" else leader).kill()
    if killed == "leader":
        parted.until("SELECT count(*) = 1 FROM osc.change WHERE state = 'backfilled'", within_s=60)
    else:
        assert leader.wait(60).exit_code == 0
    assert parted.look("SELECT id FROM stock WHERE size IS DISTINCT FROM extent") == []
    assert parted.value("SELECT bool_and(finished) FROM osc.slice")
    filled = parted.value("SELECT sum(rows_filled) FROM osc.slice")
    assert (
        filled == 1000 if not killed else filled <= 1000
    )  # what one had not noted yet when it was killed is told by none


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


def test_progress_is_that_of_all_who_walk(busy: Bench) -> None:
    """The leader goes row by row and its helper ten rows at a time: most of what it tells of, others did."""
    by_row = replace(PARALLEL, batch_rows_first=1, batch_rows_max=1, progress_noted_s=0.1)
    leader = busy.command("apply", to="backfill", settings=by_row)
    busy.until("SELECT count(*) = 4 FROM osc.slice")
    busy.command("worker")
    noted = busy.until(
        "SELECT progress FROM osc.step WHERE kind = 'fill' AND (progress->>'done')::int > 400 AND progress->>'rate' IS NOT NULL"
    )
    assert noted["done"] <= 900 == noted["total"]
    assert noted["rate"] > 0
    assert leader.wait(60).exit_code == 0
    told = [one for one in leader.reports() if one["kind"] == "progress" and ".fill." in one["step"]]
    done = [one["done"] for one in told]
    assert done == sorted(set(done)), "nothing is told twice, and it never goes back"
    assert all(one["done"] <= one["total"] == 900 for one in told)
    assert all(0 <= one["facts"]["filled"] <= 900 for one in told)
    assert max(one["facts"]["lanes"] for one in told) > 2
    assert done[-1] > leader.hits()["batch.after"], "each of its own batches is one row at most"


@pytest.mark.anyio
async def test_status_has_the_rows_rate_and_time_left_of_all_who_walk(busy: Bench) -> None:
    by_row = replace(PARALLEL, batch_rows_first=1, batch_rows_max=1, progress_noted_s=0.1)
    leader = busy.command("apply", to="backfill", settings=by_row)
    busy.until("SELECT count(*) = 4 FROM osc.slice")
    busy.command("worker")
    busy.until(
        "SELECT (progress->>'done')::int > 300 FROM osc.step WHERE kind = 'fill' AND progress->>'rate' IS NOT NULL"
    )
    leader.stop()
    shown = (await status(busy.session(), ID)).changes[0].progress
    seen = busy.value("SELECT sum(rows_seen) FROM osc.slice")
    told = busy.value("SELECT (progress->>'rate')::float8 FROM osc.step WHERE kind = 'fill'")
    leader.go_on()
    assert shown is not None
    assert 300 < shown.done <= seen
    assert shown.total == 900
    assert shown.rate == told
    assert shown.eta_s == (900 - shown.done) / told
    assert leader.wait(60).exit_code == 0


def test_where_one_lane_is_wanted_nobody_helps(busy: Bench, undisturbed: Callable[..., Any]) -> None:
    busy.settings = replace(PARALLEL, lanes=1)
    leader = busy.command("apply", to="backfill")
    busy.until("SELECT sum(batches) > 1 FROM osc.slice")
    helper = busy.command("worker")
    busy.until("SELECT sum(batches) > 9 FROM osc.slice")
    assert busy.value(OWNERS) == 1
    assert not [one for one in helper.reports() if "helps" in one["message"]]
    assert leader.running
