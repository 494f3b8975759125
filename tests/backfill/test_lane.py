"""A lane: it walks on whatever happens to its batches, never waits long for a row, and names rows it cannot fill."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import Conflict, LeaseLost, Refused
from osc.executor.backfill.session import life_ms, prepare
from osc.executor.handlers import fill
from osc.sql import batch
from osc.state import journal, slices

if TYPE_CHECKING:
    from tests.backfill.conftest import Begin, OpenApp

pytestmark = pytest.mark.anyio

TO_INT = "- change_column: {table: t, column: s, to: n, type: integer, up: 's::int', down: 'n::text'}"


async def test_a_walk_fills_every_row_once_and_its_checkpoint_moves_with_the_rows(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' || i FROM generate_series(-20, 24) AS i")
    filling = await begin(upper)
    lane = await filling.lane(rows=10)
    for number in range(1, 5):
        assert await lane.batch() == (False, 10)
        state = await filling.slice(lane)
        (filled,) = await (
            await one.execute("SELECT count(n), max(id) FILTER (WHERE n IS NOT NULL)::text FROM t")
        ).fetchall()
        assert (state.seq, state.cursor, state.rows_seen) == (number, [filled[1]], filled[0])
    assert await lane.batch() == (True, 5)
    assert await lane.batch() == (True, 0)
    assert (await filling.verify()).mismatches == 0


async def test_a_new_lane_goes_on_behind_the_checkpoint_and_the_old_one_stops(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 40) AS i")
    filling = await begin(upper)
    old = await filling.lane()
    await old.batch()
    new = await filling.lane()
    with pytest.raises(LeaseLost):
        await old.batch()
    assert new.cursor == ["10"]
    await filling.walk(new)
    assert (await filling.slice(new)).rows_seen == 40


async def test_a_lost_reply_is_found_out_from_the_slice_row(begin: Begin, app: OpenApp, upper: str) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 40) AS i")
    filling = await begin(upper)
    lane = await filling.lane()
    await lane._execute(lane.walk.batch, 10, lane.cursor, lane.slice.hi, 0)  # committed, and its reply thrown away
    assert await lane.batch() == (False, 0)
    assert (lane.seq, lane.cursor) == (1, ["10"])
    await filling.walk(lane)
    assert (await filling.verify()).mismatches == 0


async def test_a_batch_is_sized_by_the_servers_time_and_not_by_the_lines(
    begin: Begin, app: OpenApp, upper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 300) AS i")
    lane = await (await begin(upper)).lane(rows=10)
    lane.size.rows_max, lane.size.target_ms = 100, 100
    fetch = lane.session.fetch

    async def over_a_slow_line(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.25)  # a quarter of a second is far more than a batch may take
        return await fetch(*args, **kwargs)

    monkeypatch.setattr(lane.session, "fetch", over_a_slow_line)
    for _ in range(3):
        await lane.batch()
    assert lane.size.rows > 10


async def test_a_batch_that_writes_too_much_wal_is_followed_by_a_smaller_one(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    wide = "(SELECT string_agg(md5(i || '-' || n), '') FROM generate_series(1, 625) AS n)"  # 20,000 bytes that no page compresses
    await one.execute(f"INSERT INTO t SELECT i, {wide} FROM generate_series(1, 100) AS i".encode())
    lane = await (await begin(upper)).lane(rows=40)
    lane.size.target_ms, lane.size.wal_max_bytes = 10_000, 200_000
    for _ in range(4):
        await lane.batch()
    assert 3 <= lane.size.rows <= 10


async def test_a_batch_that_an_earlier_version_compiled_tells_no_cost_and_is_sized_all_the_same(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 300) AS i")
    lane = await (await begin(upper)).lane(rows=10)
    lane.size.rows_max, lane.size.target_ms = 100, 10_000
    told_nothing = lane.walk.batch.split(f",\n       {batch.COST}")[0] + "\nFROM moved"
    assert batch.COST not in told_nothing
    lane.walk = lane.walk.model_copy(update={"batch": told_nothing})
    for _ in range(3):
        await lane.batch()
    assert lane.size.rows > 10


async def test_a_lane_stays_while_paused_and_goes_on_afterwards(begin: Begin, app: OpenApp, upper: str) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) AS i")
    filling = await begin(upper)
    lane = await filling.lane()
    await one.execute("INSERT INTO osc.pause (scope) VALUES ('*')")
    paused = asyncio.create_task(lane.batch())
    done, _ = await asyncio.wait({paused}, timeout=0.3)
    assert not done
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (0,)
    await one.execute("DELETE FROM osc.pause")
    assert await paused == (False, 0)
    await filling.walk(lane)


@pytest.mark.parametrize("sabotage", ["DISABLE TRIGGER USER", "ENABLE TRIGGER USER"])
async def test_a_fill_whose_trigger_is_off_stops_within_a_batch(
    begin: Begin, app: OpenApp, upper: str, sabotage: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) AS i")
    filling = await begin(upper)
    lane = await filling.lane()
    await lane.batch()
    await one.execute(f"ALTER TABLE t {sabotage}")
    with pytest.raises(Conflict, match="missing, disabled or changed"):
        await lane.batch()
    with pytest.raises(Conflict, match="missing, disabled or changed"):
        await lane.revisit(None, None, 0)
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (10,)


async def test_poison_rows_are_found_named_and_passed_by_and_every_other_row_is_filled(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int, part text, s text, PRIMARY KEY (part, id))")
    await one.execute("INSERT INTO t SELECT i, 'p', i::text FROM generate_series(1, 1000) AS i")
    bad = {1: "12x", 2: "", 499: " ", 500: "1.5", 501: "99999999999", 1000: "x"}
    for key, value in bad.items():
        await one.execute("UPDATE t SET s = %s WHERE id = %s", [value, key])
    filling = await begin(TO_INT)
    lane = await filling.lane(rows=256)
    await filling.walk(lane)
    named = {tuple(row.key): row.sqlstate for row in await filling.poison()}
    assert named == {("p", str(key)): "22003" if key == 501 else "22P02" for key in bad}
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (1000 - len(bad),)
    assert (await filling.verify()).mismatches == len(bad)


async def test_the_phase_refuses_over_poison_rows_by_name_and_completes_once_they_are_mended(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 50) AS i")
    await one.execute("UPDATE t SET s = 'x' || id WHERE id IN (7, 8, 9)")
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    with pytest.raises(Refused, match=r"3 rows of public.t cannot be filled, all others are: \(7\): .* \[22P02\]"):
        await fill._poison(filling.lead, filling.step)
    await one.execute("UPDATE t SET s = '70' WHERE id = 7")  # mended by the application: the trigger fills it
    await one.execute("DELETE FROM t WHERE id = 8")
    with pytest.raises(Refused, match="1 rows of"):
        await fill._poison(filling.lead, filling.step)
    async with one.transaction():
        await one.execute("SET LOCAL osc.writer = 'backfill'")  # mended behind the trigger's back
        await one.execute("UPDATE t SET s = '90' WHERE id = 9")
    await fill._poison(filling.lead, filling.step)
    assert await filling.poison() == []
    assert (await filling.verify()).mismatches == 0


async def test_a_row_that_turns_to_poison_in_a_skipped_window_is_named_there(begin: Begin, app: OpenApp) -> None:
    """The lock that made the batch skip the row is that of the very transaction that spoils it."""
    one, two = await app(), await app(autocommit=False)
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 30) AS i")
    filling = await begin(TO_INT)
    lane = await filling.lane()
    lane.misses.skip = 100
    await two.execute("UPDATE t SET s = 'spoiled' WHERE id IN (4, 5)")
    await two.execute("SELECT FROM t WHERE id = 6 FOR UPDATE")
    await filling.walk(lane)
    assert [(window.lo, window.hi, window.rows) for window in await filling.skipped(lane)] == [(None, ["10"], 3)]
    await two.commit()
    while await filling.skipped(lane):
        await filling.revisit(lane)
    assert {(tuple(row.key), row.sqlstate) for row in await filling.poison()} == {(("4",), "22P02"), (("5",), "22P02")}
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (28,)
    with pytest.raises(Refused, match="2 rows of"):
        await fill._poison(filling.lead, filling.step)


async def test_more_poison_than_bearable_ends_the_fill(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 50) AS i")
    filling = await begin(TO_INT)
    lane = await filling.lane(poison_rows_max=5)
    with pytest.raises(Exception, match="more than 5 rows cannot be filled"):
        await filling.walk(lane)


async def test_a_window_that_takes_longer_than_a_batch_may_live_gets_smaller(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql COST 1"
                      " AS $$BEGIN PERFORM pg_sleep(0.01); RETURN upper($1); END$$")  # fmt: skip
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 12) AS i")
    filling = await begin("- change_column: {table: t, column: s, to: n, type: text, up: public.slow(s), down: n}")
    lane = await filling.lane(rows=12, batch_statement_timeout_share=0.1)
    assert await lane.batch() == (False, 0)
    assert lane.size.rows < 12
    await filling.walk(lane)
    assert (await filling.verify()).mismatches == 0


async def test_a_batch_of_rows_lives_shorter_than_one_row_may_so_that_nobody_waits_long_for_it(
    begin: Begin, app: OpenApp
) -> None:
    """Half of deadlock_timeout is 500 ms: time enough for the first batch as well, which evaluates up twice."""
    one = await app()
    await one.execute("CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql COST 1"
                      " AS $$BEGIN PERFORM pg_sleep(0.015); RETURN upper($1); END$$")  # fmt: skip
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, 12) AS i")
    filling = await begin("- change_column: {table: t, column: s, to: n, type: text, up: public.slow(s), down: n}")
    lane = await filling.lane(rows=12)
    lane.size.target_ms = 100.0
    assert await lane.batch() == (False, 0)
    assert lane.size.rows < 12
    await filling.walk(lane)
    assert await filling.poison() == []
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (12,)


async def test_a_row_that_is_locked_is_given_up_before_the_batch_is(begin: Begin, app: OpenApp, upper: str) -> None:
    """Where deadlock_timeout is long a tenth of it is longer than a batch lives: then both would look the same."""
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t VALUES (1, 'a')")
    filling = await begin(upper)
    lane = await filling.lane()
    for deadlock_ms, wait, life in ((1_000, "100ms", 200), (10_000, "100ms", 200), (200, "20ms", 100)):
        filling.lead.deadlock_timeout_ms = deadlock_ms
        await prepare(filling.lead, filling.step, lane.conn)
        assert await (await lane.conn.execute("SHOW lock_timeout")).fetchone() == (wait,)
        assert life_ms(filling.lead, 100.0) == life
    assert life_ms(filling.lead) == 100


async def test_the_whole_step_ends_with_its_journal_done_and_nothing_left_to_visit(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 2000) AS i")
    filling = await begin(upper)
    lead = filling.lead
    row = next(row for row in await lead.ask(journal.steps(lead.control, lead.number)) if row.step == filling.step.id)
    row = await lead.ask(journal.start(lead.control, lead.number, row.ordinal, lead.epoch))
    await fill.do(lead, filling.step, row)
    (piece,) = await slices.of_step(lead.control, lead.number, filling.step.id)
    assert (piece.finished, piece.rows_filled) == (True, 2000)
    assert 2000 <= piece.rows_seen <= 2100  # a row that a wave moved into the last block is met there once more
    assert (await lead.ask(journal.steps(lead.control, lead.number)))[row.ordinal - 1].state == "done"


async def test_nothing_is_written_to_a_column_that_the_new_application_filled(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) AS i")
    filling = await begin(upper)
    await one.execute("UPDATE t SET n = 'new ' || id WHERE id % 2 = 0")
    await filling.walk(await filling.lane(rows=3))
    rows = await (
        await one.execute("SELECT count(*) FROM t WHERE n = CASE WHEN id % 2 = 0 THEN 'new ' || id ELSE 'A' END")
    ).fetchone()
    assert rows == (20,)
    assert (await filling.verify()).mismatches == 0


async def test_a_row_that_alone_takes_longer_than_a_batch_may_live_is_named_like_poison(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute("CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN"
                      " PERFORM pg_sleep(10) WHERE $1 = 'a3'; RETURN upper($1); END$$")  # fmt: skip
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, 8) AS i")
    filling = await begin("- change_column: {table: t, column: s, to: n, type: text, up: public.slow(s), down: n}")
    lane = await filling.lane(rows=4, batch_statement_timeout_share=0.05)
    await filling.walk(lane)
    assert [(row.key, row.sqlstate) for row in await filling.poison()] == [(["3"], "57014")]
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (7,)
