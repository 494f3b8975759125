"""Batches between the statements of other transactions, step by step: whatever the order, no write is lost.

The numbers are those of the catalogue of faults that other tools and our own experiments have (S, F).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from osc.executor.handlers import verify
from tests.backfill.waiting import waiting

if TYPE_CHECKING:
    from osc.executor.backfill.lane import Lane
    from tests.backfill.conftest import App, Begin, OpenApp

pytestmark = pytest.mark.anyio

both = pytest.mark.both_versions

Rows = list[tuple[Any, ...]]


async def table(app: OpenApp, rows: int = 30) -> App:
    """Make the table that is filled, and return a session of the application."""
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int)")
    await one.execute("INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, %s) AS i", [rows])
    return one


async def rows(conn: App, sql: str) -> Rows:
    return await (await conn.execute(sql)).fetchall()


async def uncommitted_batch(lane: Lane) -> None:
    """Execute the lane's next batch in a transaction that stays open, holding its rows as a slow commit would."""
    await lane.conn.set_autocommit(False)
    assert await lane._execute(lane.walk.batch, lane.size.rows, lane.cursor, lane.slice.hi, 0) is not None


async def commit_batch(lane: Lane) -> None:
    await lane.conn.commit()
    await lane.conn.set_autocommit(True)


# What the application does to row 5 while the batch that fills it is not committed, and the row afterwards.
WHILE_A_BATCH_IS_OPEN = {
    "S1 update": (["UPDATE t SET s = 'new' WHERE id = 5"], [(5, "new", "NEW")]),
    "S1 update of n": (["UPDATE t SET n = 'new' WHERE id = 5"], [(5, "new", "new")]),
    "S2 delete": (["DELETE FROM t WHERE id = 5"], []),
    "S3 update of the key": (["UPDATE t SET id = 500 WHERE id = 5"], [(500, "a5", "A5")]),
    "S3 update of the key and s": (["UPDATE t SET id = 500, s = 'new' WHERE id = 5"], [(500, "new", "NEW")]),
    "S4 delete and insert again": (
        ["DELETE FROM t WHERE id = 5", "INSERT INTO t VALUES (5, 'again')"],
        [(5, "again", "AGAIN")],
    ),
    "F53 upsert": (
        ["INSERT INTO t VALUES (5, 'up') ON CONFLICT (id) DO UPDATE SET s = EXCLUDED.s"],
        [(5, "up", "UP")],
    ),
    "row lock and nothing else": (["SELECT FROM t WHERE id = 5 FOR UPDATE"], [(5, "a5", "A5")]),
    "touch": (["UPDATE t SET x = 1 WHERE id = 5"], [(5, "a5", "A5")]),
}  # fmt: skip


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("case", WHILE_A_BATCH_IS_OPEN)
async def test_a_write_that_waits_for_an_open_batch_is_not_lost(
    begin: Begin, app: OpenApp, upper: str, case: str, ends: str
) -> None:
    observer = await table(app)
    writer = await app(autocommit=False)
    filling = await begin(upper)
    lane = await filling.lane()
    await uncommitted_batch(lane)
    statements, expected = WHILE_A_BATCH_IS_OPEN[case]

    async def write() -> None:
        for statement in statements:
            await writer.execute(statement)
        await writer.execute(ends)

    writing = asyncio.create_task(write())
    await waiting(observer, writer)
    await commit_batch(lane)
    await writing
    await lane.batch()  # the reply was not read, so the lane finds out where it is
    await filling.walk(lane)
    expected = expected if ends == "COMMIT" else [(5, "a5", "A5")]
    assert await rows(observer, "SELECT id, s, n FROM t WHERE id IN (5, 500)") == expected
    assert (await filling.verify()).mismatches == 0


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("skipping", [False, True], ids=["plain", "skipping"])
@pytest.mark.parametrize("case", WHILE_A_BATCH_IS_OPEN)
async def test_a_batch_that_meets_an_open_write_neither_loses_it_nor_calls_it_done(
    begin: Begin, app: OpenApp, upper: str, case: str, skipping: bool, ends: str
) -> None:
    """F51, F67: a plain batch gives up and skips, what was skipped is noted, and the note goes when the row is filled."""
    observer = await table(app)
    writer = await app(autocommit=False)
    filling = await begin(upper)
    lane = await filling.lane()
    lane.misses.skip = 100 if skipping else 0
    statements, expected = WHILE_A_BATCH_IS_OPEN[case]
    for statement in statements:
        await writer.execute(statement)
    await filling.walk(lane)
    assert [(one.lo, one.hi, one.rows) for one in await filling.skipped(lane)] == [(None, ["10"], 1)]
    assert await filling.revisit(lane) == 1
    assert len(await filling.skipped(lane)) == 1, "nothing skipped is ever called complete"
    await writer.execute(ends)
    assert await filling.revisit(lane) == 0
    assert await filling.skipped(lane) == []
    expected = expected if ends == "COMMIT" else [(5, "a5", "A5")]
    assert await rows(observer, "SELECT id, s, n FROM t WHERE id IN (5, 500)") == expected
    assert (await filling.verify()).mismatches == 0


@both
@pytest.mark.parametrize("which", ["batch", "skipping", "revisit"])
async def test_a_row_changed_between_snapshot_and_lock_gets_the_value_of_its_last_version(
    begin: Begin, app: OpenApp, upper: str, which: str
) -> None:
    """S10: the statement has its snapshot, waits for the slice row, and meanwhile the application commits."""
    observer = await table(app)
    writer = await app(autocommit=False)
    filling = await begin(upper)
    lane = await filling.lane(batch_lock_timeout_share=15, batch_statement_timeout_share=15)  # the story takes its time
    await writer.execute("SELECT FROM osc.slice FOR UPDATE")
    statement = getattr(lane.walk, which)
    running = asyncio.create_task(lane._execute(statement, 10, None, ["10"], 0))
    await waiting(observer, lane.conn)
    await writer.execute("UPDATE t SET s = 'new' WHERE id = 3")
    await writer.execute("UPDATE t SET n = 'mine' WHERE id = 4")
    await writer.execute("DELETE FROM t WHERE id = 5")
    await writer.execute("UPDATE t SET id = 106 WHERE id = 6")
    async with writer.transaction():
        await writer.execute("SET LOCAL osc.writer = 'backfill'")  # a change of S that no trigger saw
        await writer.execute("UPDATE t SET s = 'unseen' WHERE id = 7")
    await writer.commit()
    assert await running is not None
    assert await rows(observer, "SELECT id, n FROM t WHERE id BETWEEN 3 AND 8 OR id = 106 ORDER BY id") == [
        (3, "NEW"), (4, "mine"), (7, "UNSEEN"), (8, "A8"), (106, "A6")]  # fmt: skip


@both
async def test_writers_of_any_kind_between_batches_leave_every_row_in_step(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    """F53, F52: between every two batches something happens on either side of the cursor."""
    one = await table(app, 100)
    filling = await begin(upper)
    lane = await filling.lane()
    between = [
        "INSERT INTO t VALUES (-1, 'low'), (1000, 'high')",
        "DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 'again')",
        "UPDATE t SET id = -id WHERE id = 90",  # from above the cursor to below it
        "UPDATE t SET id = 2000 WHERE id = 5",  # from below to above, behind the end
        "INSERT INTO t VALUES (1000, 'x') ON CONFLICT (id) DO UPDATE SET s = EXCLUDED.s",
        "MERGE INTO t USING (VALUES (70, 'm')) AS v(id, s) ON v.id = t.id WHEN MATCHED THEN UPDATE SET n = v.s",
        "UPDATE t SET s = u.s FROM t AS u WHERE u.id = t.id + 1 AND t.id BETWEEN 40 AND 60",
        "DELETE FROM t WHERE id BETWEEN 75 AND 85",
    ]
    finished = False
    while not finished:
        finished, _ = await lane.batch()
        if between:
            await one.execute(between.pop(0))
    assert not between
    assert await rows(one, "SELECT count(*) FROM t WHERE n IS NULL") == [(0,)]
    assert (await filling.verify()).mismatches == 0


@both
async def test_a_key_that_moves_behind_the_cursor_while_the_trigger_is_off_is_found_and_sent_back(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    """F52, F43: no cursor can see it, so the verification looks at every row and gives it back to the fill."""
    one = await table(app)
    filling = await begin(upper)
    lane = await filling.lane()
    await lane.batch()
    (trigger,) = (await rows(one, "SELECT tgname FROM pg_trigger WHERE tgname LIKE '~osc%%'"))[0]
    await one.execute(f'ALTER TABLE t DISABLE TRIGGER "{trigger}"')
    await one.execute("UPDATE t SET id = -id WHERE id > 25")
    await one.execute(f'ALTER TABLE t ENABLE ALWAYS TRIGGER "{trigger}"')
    await filling.walk(lane)
    found = await filling.verify()
    assert (found.rows, found.mismatches) == (30, 5)
    assert await verify._send_back(filling.lead, filling.verify_step, found)
    assert (await filling.verify()).mismatches == 0


@both
@pytest.mark.parametrize("before", [0, 1, 3])
async def test_truncate_in_the_middle_leaves_an_end_that_is_reached(
    begin: Begin, app: OpenApp, upper: str, before: int
) -> None:
    """F54: the cursor stands behind all data, new rows come below it, and the walk still ends."""
    one = await app()
    await one.execute("CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t (s) SELECT 'a' FROM generate_series(1, 50)")
    filling = await begin(upper)
    lane = await filling.lane()
    for _ in range(before):
        await lane.batch()
    await one.execute("TRUNCATE t RESTART IDENTITY")
    await one.execute("INSERT INTO t (s) SELECT 'b' FROM generate_series(1, 5)")
    await filling.walk(lane)
    assert await rows(one, "SELECT n, count(*) FROM t GROUP BY 1") == [("B", 5)]
    assert (await filling.verify()).mismatches == 0


@both
async def test_a_table_that_grows_faster_than_the_fill_has_an_end(begin: Begin, app: OpenApp, upper: str) -> None:
    one = await table(app)
    filling = await begin(upper)
    lane = await filling.lane()
    batches, finished = 0, False
    while not finished:
        finished, _ = await lane.batch()
        batches += 1
        await one.execute("INSERT INTO t SELECT max(id) + i, 'new' FROM t, generate_series(1, 40) AS i GROUP BY i")
    assert batches <= 5
    assert (await filling.verify()).mismatches == 0


@both
async def test_no_constraint_stands_before_the_fill(begin: Begin, app: OpenApp) -> None:
    """F50: with NOT NULL on N, though not valid, an unrelated update of an unfilled row would fail."""
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s int NOT NULL CHECK (s > 0), x int)")
    await one.execute("INSERT INTO t SELECT i, i FROM generate_series(1, 30) AS i")
    filling = await begin("- change_column: {table: t, column: s, to: n, type: bigint}")
    assert await rows(one, "SELECT count(*) FROM pg_constraint WHERE conrelid = 't'::regclass AND conname LIKE '%%n%%'"
                           " AND NOT convalidated") == [(0,)]  # fmt: skip
    lane = await filling.lane()
    await lane.batch()
    await one.execute("UPDATE t SET x = 1")
    assert await rows(one, "SELECT count(*) FROM t WHERE n = s") == [(30,)], "a touched row is filled by the trigger"


@both
async def test_transactions_that_lock_and_roll_back_while_batches_skip_leave_nothing_behind(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    """F67: the mutant that forgets what it skipped is only seen by row locks without a write, and by rollbacks."""
    one = await table(app, 60)
    filling = await begin(upper)
    lane = await filling.lane()
    lane.misses.skip = 100
    holders = [await app(autocommit=False) for _ in range(4)]
    await holders[0].execute("SELECT FROM t WHERE id % 7 = 0 FOR UPDATE")
    await holders[1].execute("UPDATE t SET s = 'gone' WHERE id % 11 = 1 AND id < 50")
    await holders[2].execute("SELECT FROM t WHERE id = 33 FOR NO KEY UPDATE")
    await holders[3].execute("SELECT FROM t WHERE id IN (2, 4, 6) FOR KEY SHARE")  # what a foreign key's check takes
    await filling.walk(lane)
    locked = [row[0] for row in await rows(one, "SELECT id FROM t WHERE n IS NULL ORDER BY id")]
    assert locked == sorted({i for i in range(1, 61) if i % 7 == 0 or (i % 11 == 1 and i < 50) or i == 33})
    assert sum(one.rows for one in await filling.skipped(lane)) == len(locked)
    await holders[0].rollback()
    assert await filling.revisit(lane) > 0
    await holders[1].rollback()
    await holders[2].commit()
    assert await filling.revisit(lane) == 0
    assert await filling.skipped(lane) == []
    assert (await filling.verify()).mismatches == 0


@both
@pytest.mark.parametrize("skipping", [False, True], ids=["plain", "skipping"])
async def test_the_application_is_never_the_victim_of_a_deadlock_and_its_wait_is_bounded(
    begin: Begin, app: OpenApp, upper: str, skipping: bool
) -> None:
    """S14, F40, rationale 11: the application locks row 8, the batch rows 1 to 7, and each wants the other's next."""
    observer = await table(app)
    writer = await app(autocommit=False)
    filling = await begin(upper)
    lane = await filling.lane(batch_lock_timeout_share=0.25)
    lane.misses.skip = 1 if skipping else 0
    await writer.execute("UPDATE t SET s = 'app' WHERE id = 8")
    batch = asyncio.create_task(lane.batch())
    if not skipping:
        await waiting(observer, lane.conn)
    began = asyncio.get_running_loop().time()
    await writer.execute("UPDATE t SET s = 'app' WHERE id = 3")  # held by the batch, which waits for row 8
    waited_s = asyncio.get_running_loop().time() - began
    await writer.commit()
    await batch
    assert waited_s < filling.lead.deadlock_timeout_ms / 1000, "it was served before its own search for deadlocks began"
    await filling.walk(lane)
    await filling.revisit(lane)
    assert await rows(observer, "SELECT id, n FROM t WHERE id IN (3, 8) ORDER BY id") == [(3, "APP"), (8, "APP")]
    assert (await filling.verify()).mismatches == 0


@both
async def test_rows_that_wait_many_times_in_one_batch_do_not_make_it_live_longer(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    """lock_timeout is per lock; statement_timeout bounds their sum, and so how long anybody waits for our rows."""
    observer = await table(app)
    filling = await begin(upper)
    lane = await filling.lane(batch_statement_timeout_share=0.2)
    await lane.conn.execute("SET lock_timeout = 0")  # as if the batch waited again and again, each time not long enough
    holder = await app(autocommit=False)
    await holder.execute("SELECT FROM t WHERE id = 9 FOR UPDATE")
    began = asyncio.get_running_loop().time()
    assert await lane.batch() == (False, 0)
    assert asyncio.get_running_loop().time() - began < filling.lead.deadlock_timeout_ms / 1000 / 2
    assert lane.misses.skip > 0
    await holder.rollback()
    assert observer


@both
async def test_a_table_locked_by_ddl_of_others_is_waited_for_without_failing(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    observer = await table(app)
    filling = await begin(upper)
    lane = await filling.lane()
    ddl = await app(autocommit=False)
    await ddl.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
    assert await lane.batch() == (False, 0)
    assert await lane.batch() == (False, 0)
    await ddl.rollback()
    await filling.walk(lane)
    assert await rows(observer, "SELECT count(n) FROM t") == [(30,)]


@both
async def test_an_error_of_the_application_is_no_business_of_the_fill(begin: Begin, app: OpenApp, upper: str) -> None:
    one = await table(app)
    filling = await begin(upper)
    lane = await filling.lane()
    await lane.batch()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await one.execute("INSERT INTO t VALUES (5, 'twice')")
    await filling.walk(lane)
    assert (await filling.verify()).mismatches == 0
