"""The bloat guard against a server: it vacuums beside the lanes, in nobody's way, and says what it did."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from osc.executor.backfill.bloat import KEY, BloatGuard
from osc.executor.backfill.pace import Pace
from osc.executor.handlers import fill
from osc.verbs.set_knob import set_knob
from tests.backfill.test_walks import BIGINT, started, told, value, wide

if TYPE_CHECKING:
    from tests.backfill.conftest import App, Begin, Filling, OpenApp

pytestmark = pytest.mark.anyio
LIMIT = 0.2
VACUUMS = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 't'"
RUNNING = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 't'::regclass"
SEEN = "SELECT sum(rows_seen) FROM osc.slice"
DEAD = "DELETE FROM t WHERE id > (SELECT max(id) * 0.6 FROM t)"
"""Behind the last row that stays there are empty blocks, which a VACUUM would give back."""


async def bloated(app: OpenApp, rows: int = 2_000) -> App:
    """Make table ``t`` of which 40 % are dead rows that nobody else vacuums."""
    one = await wide(app, rows)
    await one.execute("ALTER TABLE t SET (autovacuum_enabled = off)")
    await one.execute(DEAD.encode())
    await one.execute("SELECT pg_stat_force_next_flush()")
    return one


def guard_of(filling: Filling) -> BloatGuard:
    lead = filling.lead
    return BloatGuard(lead, filling.step, Pace(lead, limits={KEY: LIMIT}))


async def history(conn: App, kind: str) -> list[dict[str, Any]]:
    rows = await conn.execute("SELECT data FROM osc.event WHERE kind = %s ORDER BY event", [kind])
    return [row[0] for row in await rows.fetchall()]


async def until(conn: App, sql: str, wanted: float) -> None:
    """Return when the value is as much as wanted."""
    for _ in range(1_000):
        if ((await value(conn, sql)) or 0) >= wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not {wanted}: {sql}")


async def test_it_vacuums_when_more_is_dead_than_the_plan_bears_and_not_again_at_once(
    begin: Begin, app: OpenApp
) -> None:
    one = await bloated(app)
    before, size = await value(one, VACUUMS), await value(one, "SELECT pg_relation_size('t')")
    filling = await begin(BIGINT, "backfill: {vacuum_above: 20%, speed: 5%}")
    filling = replace(filling, lead=told(filling, "blocks", 4, 2, vacuum_poll_s=0.02))
    filling_up = asyncio.create_task(fill.do(filling.lead, filling.step, await started(filling)))
    await until(one, VACUUMS, before + 1)
    await one.execute(DEAD.encode())
    await one.execute("SELECT pg_stat_force_next_flush()")
    await set_knob(filling.session, filling.lead.change.id, "speed", "100%")
    await filling_up
    (done,) = await history(one, "vacuumed")
    assert done["table"] == "public.t"
    assert done["dead_share"] >= LIMIT > done["dead_share_after"]
    assert await value(one, VACUUMS) == before + 1
    assert await value(one, "SELECT pg_relation_size('t')") >= size  # nothing that would take ACCESS EXCLUSIVE
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_it_is_turned_on_and_off_while_the_fill_runs(begin: Begin, app: OpenApp) -> None:
    one = await bloated(app, 6_000)
    before = await value(one, VACUUMS)
    filling = await begin(BIGINT, "backfill: {speed: 1%}")
    lead, change = told(filling, "keyset", 1, 1, vacuum_poll_s=0.02, vacuum_every_s=0.1), filling.lead.change.id
    # Slow enough that the fill still runs when the knob is read, on a quick machine too.
    filling_up = asyncio.create_task(fill.do(lead, filling.step, await started(filling)))
    await until(one, SEEN, 100)
    assert await value(one, VACUUMS) == before
    await set_knob(filling.session, change, "vacuum_above", "20%")
    await until(one, VACUUMS, before + 1)
    await set_knob(filling.session, change, "vacuum_above", "none")
    await set_knob(filling.session, change, "speed", "100%")
    await filling_up


async def test_lanes_go_on_beside_it_and_it_gives_way_to_who_waits_for_its_lock(begin: Begin, app: OpenApp) -> None:
    one = await bloated(app, 20_000)
    await one.execute(f'ALTER DATABASE "{one.info.dbname}" SET vacuum_cost_limit = 1'.encode())
    filling = await begin(BIGINT, "backfill: {vacuum_above: 20%, rest_for_vacuum: 1h, speed: 10%}")
    lead = told(filling, "blocks", 1, 1, vacuum_poll_s=0.02, vacuum_yield_s=0.05)
    filling_up = asyncio.create_task(fill.do(lead, filling.step, await started(filling)))
    await until(one, RUNNING, 1)
    await until(one, SEEN, (await value(one, SEEN)) + 500)
    assert await value(one, RUNNING) == 1
    waiting = await app(application_name="somebody")
    async with waiting.transaction():
        await waiting.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
    assert await value(one, RUNNING) == 0
    await until(one, "SELECT count(*) FROM osc.event WHERE kind = 'vacuum gave way'", 1)
    assert [told["application"] for told in await history(one, "vacuum gave way")] == ["somebody"]
    await set_knob(filling.session, lead.change.id, "speed", "100%")
    await filling_up
    assert await history(one, "vacuumed") == []


async def test_the_end_of_the_fill_ends_it(begin: Begin, app: OpenApp) -> None:
    """What comes next wants the table's lock: an index build would wait for hours."""
    one = await bloated(app, 20_000)
    await one.execute(f'ALTER DATABASE "{one.info.dbname}" SET vacuum_cost_limit = 1'.encode())
    filling = await begin(BIGINT, "backfill: {vacuum_above: 20%, speed: 10%}")
    lead = told(filling, "blocks", 1, 1, vacuum_poll_s=0.02)
    filling_up = asyncio.create_task(fill.do(lead, filling.step, await started(filling)))
    await until(one, RUNNING, 1)
    await set_knob(filling.session, lead.change.id, "speed", "100%")
    await filling_up
    assert await value(one, RUNNING) == 0


async def test_a_table_that_is_locked_is_left_alone_until_later(begin: Begin, app: OpenApp) -> None:
    one, other = await bloated(app), await app()
    before = await value(one, VACUUMS)
    guard = guard_of(await begin(BIGINT))
    async with other.transaction():
        await other.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
        assert await guard._look()
    assert guard._missed
    assert await guard._look()  # it is free now, but not yet time
    assert await value(one, VACUUMS) == before
    assert await history(one, "vacuumed") == []
    await guard._hang_up()


async def test_what_a_snapshot_keeps_is_not_vacuumed_again_and_again(begin: Begin, app: OpenApp) -> None:
    one, holder = await wide(app), await app(autocommit=False)
    guard = guard_of(await begin(BIGINT))
    await holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    await holder.execute("SELECT 1")
    await one.execute(DEAD.encode())
    await one.execute("SELECT pg_stat_force_next_flush()")
    every_s = guard.lead.settings.vacuum_every_s
    pauses = []
    for _ in range(2):
        guard._not_before_s = 0.0
        assert await guard._look()
        pauses.append(guard._pause_s)
    assert pauses == [2 * every_s, 4 * every_s]
    assert all(done["dead_share_after"] >= LIMIT for done in await history(one, "vacuumed"))
    await holder.rollback()
    guard._not_before_s = 0.0
    assert await guard._look()
    assert guard._pause_s == 0.0
    await guard._hang_up()


async def test_a_role_that_may_not_vacuum_is_told_once_and_nothing_is_tried(begin: Begin, app: OpenApp) -> None:
    one = await bloated(app)
    before = await value(one, VACUUMS)
    guard = guard_of(await begin(BIGINT))
    conn = await guard._session()
    await conn.execute("SET ROLE pg_read_all_stats")
    await asyncio.wait_for(guard.watch(), 10)  # comes to an end by itself
    (told,) = await history(one, "vacuum refused")
    assert "this role" in told["why"]
    assert await value(one, VACUUMS) == before
