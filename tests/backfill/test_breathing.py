"""Beside others, or to be slower, the statements of a fill rest in between."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from osc.executor.backfill import inspection
from osc.executor.backfill.crew import crew_for
from osc.executor.backfill.pace import BREATHING_SHARE, WORK_US, Pace
from osc.executor.backfill.session import breathe
from osc.executor.backfill.statements import fetch_one
from osc.sql.resting import RESTED, rested
from osc.state import settings as knobs
from tests.backfill.test_in_flight import with_pieces
from tests.backfill.test_walks import BIGINT, one_wave, started, value, wide

if TYPE_CHECKING:
    import psycopg

    from tests.backfill.conftest import Begin, OpenApp

UPPER = "- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n}"
pytestmark = pytest.mark.anyio


async def test_a_plan_and_a_live_setting_both_say_how_fast(begin: Begin, app: OpenApp) -> None:
    await wide(app, 10)
    lead = (await begin(BIGINT)).lead
    pace = await Pace(lead).read()
    assert (pace.speed, pace.is_said) == (1.0, False)
    await lead.ask(knobs.set_knob(lead.control, f"change:{lead.change.id}", "speed", "1.0", who="sre", ttl_s=None))
    await pace.read()
    assert (pace.speed, pace.is_said) == (1.0, True)


STATEMENTS = {
    "batch": ("keyset", "batch", [None, None, 50], [], 4),
    "skipping": ("keyset", "skipping", [None, None, 50], [], 6),
    "close": ("keyset", "close", [None, ["50"], 50], [], 1),
    "wave along the key": ("keyset", "wave", [["(0,0)"], ["(9,0)"], 0], [1, 1], 1),
    "blocks": ("blocks", "batch", [None, ["(9,0)"], 9], [0], 2),
    "blocks, skipping": ("blocks", "skipping", [None, ["(9,0)"], 9], [0], 4),
    "wave through blocks": ("blocks", "wave", [["(0,0)"], ["(9,0)"], 0], [1, 1], 1),
}  # fmt: skip
"""Walk, statement, its parameters before the fence and behind it, and in how many places it rests; all look at 50 rows."""


@pytest.mark.parametrize("which", STATEMENTS)
async def test_a_statement_rests_wherever_it_is_and_is_planned_without_rests_where_there_are_none(
    begin: Begin, app: OpenApp, which: str
) -> None:
    one = await wide(app, 60)
    walk, name, params, more, places = STATEMENTS[which]
    lane = await (await begin(BIGINT)).lane(rows=100, walk=walk)
    sql = getattr(lane.walk, name)
    for rests in (0, 1):
        assert (await planned(one, sql, [*params, 1, 1, 1, *more, rests])).count("pg_sleep") == rests * places
    told = [*params, *lane._fence, *more, 1]
    row = await (one_wave(lane, told) if name == "wave" else lane.session.fetch(sql, told))
    assert row is not None
    ms = row[1] if name == "wave" else row[5]
    assert float(ms) >= 50  # a microsecond of work, then a millisecond of rest: that is at each row


@pytest.mark.parametrize("name", ["next_edge", "last_edge"])
async def test_the_search_for_the_edge_of_a_window_rests(begin: Begin, app: OpenApp, name: str) -> None:
    one = await wide(app, 300)
    lane = await (await begin(BIGINT)).lane(rows=100, walk="keyset", waves=4)
    sql, units = getattr(lane.walk, name), [250] if name == "next_edge" else []
    for rests in (0, 1):
        begun = time.monotonic()
        row = await lane.session.fetch(sql, [None, None, *units, rests])
        assert row is not None
        assert rests == 0 or time.monotonic() - begun >= 0.005  # a millisecond at every few rows
        assert ("pg_sleep" in await planned(one, sql, [None, None, *units, rests])) is bool(rests)


async def test_a_statement_that_rests_fills_as_if_it_did_not(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, 300)
    filling = await begin(BIGINT)
    for walk, to in (("keyset", 0), ("blocks", None)):
        lane = await filling.lane(rows=40, walk=walk, waves=3)
        lane.session.breathes = True
        await filling.walk(lane)
        assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0, walk
        if to is not None:
            await one.execute("UPDATE t SET n = NULL")


async def test_a_session_that_breathes_is_woken_each_millisecond_and_no_other(begin: Begin, app: OpenApp) -> None:
    await wide(app, 300)
    lane = await (await begin(BIGINT)).lane(rows=40, walk="keyset", waves=3)
    seen = []
    for lane.session.breathes in (False, True, True, False):
        await lane.batch()
        await lane.settle()
        row = await (await lane.conn.execute("SHOW client_connection_check_interval")).fetchone()
        seen.append(row and row[0])
    assert seen == ["500ms", "1ms", "1ms", "500ms"]


async def test_a_rest_goes_on_from_statement_to_statement(begin: Begin, app: OpenApp) -> None:
    await wide(app, 300)
    lane = await (await begin(BIGINT)).lane(rows=40, walk="keyset", waves=3)
    ask = f"SELECT pg_catalog.current_setting('{RESTED}', true)"
    seen = []
    lane.session.breathes = True
    for work in (10_000_000, 1, 10_000_000):  # long ago, so it rests at once; then not before ten seconds are over
        await lane.conn.execute(f"SELECT {rested(str(work))}".encode())
        row = await (await lane.conn.execute(ask.encode())).fetchone()
        seen.append(row and row[0])
    assert seen[0] != seen[1] == seen[2]


async def test_a_program_that_knows_no_rests_goes_on_without(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, 300)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=40, walk="keyset")
    lane.session.breathes = True
    rest = rested("$7", "needs work").split("needs work")
    batch = lane.walk.batch.replace(rest[0], "(").replace(rest[1], ")").replace(rested("$7"), "true")
    assert "$7" not in batch
    lane.walk = lane.walk.model_copy(update={"batch": batch})
    await filling.walk(lane)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def planned(conn: psycopg.AsyncConnection[Any], sql: str, params: list[Any]) -> str:
    """Return the plan of a statement with these parameters."""
    for number, param in reversed(list(enumerate(params, start=1))):
        text = (
            "NULL::text[]" if param is None else f"'{{\"{param[0]}\"}}'::text[]" if isinstance(param, list) else param
        )
        sql = sql.replace(f"${number}", str(text))
    return str(await (await conn.execute(f"EXPLAIN (VERBOSE) {sql}".encode())).fetchall())


async def test_beside_others_a_lane_rests_while_it_is_in_its_pieces(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app)
    filling = await begin(BIGINT)
    lane = await with_pieces(filling)
    sent: list[int] = []
    send = lane.session._pipeline.send

    async def watched(params: Any) -> None:
        sent.append(params[8])
        await send(params)

    monkeypatch.setattr(lane.session._pipeline, "send", watched)
    crew = await crew_for(filling.lead, filling.step, await started(filling))
    for others in (False, True):
        crew.pace.others_at_work = others
        looks = iter((True, False))
        monkeypatch.setattr(crew, "_is_wanted", lambda _, looks=looks: next(looks))
        assert await crew._to_the_end(0, lane) is False
    assert sent[0] == 0
    assert sent[-1] > 0


async def test_a_lane_that_breathes_rests_only_for_what_is_missing_to_its_speed(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app)
    lane = await (await begin(BIGINT)).lane(rows=100, walk="blocks", waves=4)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(lane.lead.clock, "sleep", sleep)
    worked = BREATHING_SHARE
    for speed, breathes in ((1.0, False), (1.0, True), (worked, True), (0.25, False), (worked / 2, True)):
        lane.speed, lane.session.breathes = speed, breathes
        await lane._rest(100)
    assert slept == [pytest.approx(0.3), pytest.approx(0.1)]


@pytest.mark.parametrize("key", ["id int PRIMARY KEY", "id int"], ids=["by key", "by blocks"])
async def test_a_page_of_verification_rests_as_its_session_is_set(begin: Begin, app: OpenApp, key: str) -> None:
    one = await app()
    await one.execute(f"CREATE TABLE t ({key}, s text)".encode())
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 100) AS i")
    filling = await begin(UPPER, "" if "KEY" in key else "backfill: {walk: blocks}")
    conn = await filling.lead.worker("verify")
    for work in (0, 1):
        await breathe(filling.lead, conn, work)
        begun = time.monotonic()
        row = await fetch_one(conn, filling.verify_step.count, [None, 100, None])
        assert row is not None
        assert row[0] == 100
        assert work == 0 or time.monotonic() - begun >= 0.005
    await conn.close()


@pytest.mark.parametrize("is_said", [False, True], ids=["nothing said", "speed: 100%"])
async def test_verification_breathes_beside_others_unless_somebody_says_how_fast(
    begin: Begin, app: OpenApp, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await wide(app, 3_000)
    filling = await begin(BIGINT, "backfill: {speed: 100%}" if is_said else "")
    filling.lead.executor.settings = replace(filling.lead.settings, verify_rows=5)
    told: list[int] = []

    async def watched(lead: Any, conn: Any, work_us: int) -> None:
        told.append(work_us)
        await breathe(lead, conn, work_us)

    monkeypatch.setattr(inspection, "breathe", watched)
    at_work = asyncio.create_task(one.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.1)
    assert (await filling.verify()).rows == 3_000
    at_work.cancel()
    assert told == ([] if is_said else [WORK_US])


async def test_the_first_statement_of_a_fill_beside_others_rests_already(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only from the first look of whoever watches on, a fifth of a second later."""
    one = await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=40, walk="keyset")
    crew = await crew_for(filling.lead, filling.step, await started(filling))
    looks = iter((True, False))
    monkeypatch.setattr(crew, "_is_wanted", lambda _: next(looks))
    await one.execute("SELECT 1")  # somebody who is at work
    assert await crew._to_the_end(0, lane) is False
    assert lane.tally.filled > 0
    assert lane.session.breathes
