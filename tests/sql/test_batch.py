"""The one statement of a batch: fence, checkpoint, pause and rows in one, and four shapes of it that would be wrong.

Each wrong shape (rationale.md 8) goes through the very scenario that the right one passes: a check that could not
fail would prove nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import RawCursor

from osc.names import QName
from osc.sql import batch
from osc.sql.batch import Filled
from osc.sql.keyset import KeyColumn
from osc.sql.pages import ByKey
from tests.sync.rig import make_state
from tests.sync.waiting import until, waits_for_a_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.both_versions

TABLE, KEY, FILLED = QName("public", "t"), (KeyColumn(name="id", type="integer"),), (Filled("n", "upper(s)"),)
PAGE = ByKey(TABLE, KEY)
ROWS, LIMIT = 95, 10


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Return ``text`` with every change made; a change that finds nothing is an error of the test."""
    for old, new in changes:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    return text


def two_updates_of_one_row(right: str) -> str:
    """Fence first, checkpoint in a second UPDATE of the same row: the server silently drops the second."""
    checkpoint = """SET cursor = CASE WHEN edge.is_last THEN coalesce($2::text[], edge.cursor, s.cursor) ELSE edge.cursor END,
        seq = s.seq + 1, batches = s.batches + 1, rows_seen = s.rows_seen + edge.rows,
        finished = edge.is_last AND $2::text[] IS NOT DISTINCT FROM s.hi"""
    fence, behind = (
        "SET seq = s.seq + 1",
        """RETURNING s.slice, edge.cursor, edge.rows, edge.lsn
), checkpoint AS (
    UPDATE osc.slice AS s SET cursor = moved.cursor, finished = moved.rows < $3 FROM moved
    WHERE s.slice = moved.slice RETURNING s.cursor, s.finished, moved.rows
)""",
    )
    answer = f"""SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled) AS filled, 0::bigint AS skipped,
       {batch.COST}{batch._hot(PAGE, FILLED)}
FROM moved"""
    answered = "SELECT c.cursor, c.finished, c.rows, (SELECT count(*) FROM filled), 0 FROM checkpoint AS c"
    returning = f"RETURNING s.change, s.step, s.slice, s.cursor, s.finished, edge.rows, edge.lsn{batch._hot_before(PAGE, FILLED)}\n)"
    return replaced(right, (checkpoint, fence), (returning, behind), (answer, answered))


def checkpoint_after_the_update(right: str) -> str:
    """The rows first and the checkpoint, which carries the fence, last: when the fence misses, the rows are written."""
    return replaced(right, ("FROM moved AS w)", "FROM edge AS w)"))


def epoch_read_by_join(right: str) -> str:
    """The epoch from a row that is read, not locked: a takeover that commits meanwhile is not seen."""
    fence = """fence AS MATERIALIZED (
    SELECT f.slice FROM osc.slice AS f WHERE f.slice = $4 AND f.epoch = $5 AND f.seq = $6
),
"""
    proven = "    FROM edge\n    WHERE s.slice = $4 AND s.epoch = $5 AND s.seq = $6 AND"
    joined = "    FROM edge, fence\n    WHERE s.slice = fence.slice AND"
    return replaced(right, ("moved AS (\n", fence + "moved AS (\n"), (proven, joined))


def no_seq_guard(right: str) -> str:
    """The epoch alone: a statement that was delayed, or sent again, sets the cursor back."""
    return replaced(right, (" AND s.seq = $6", " AND $6::bigint IS NOT NULL"))


Statement = str
Row = tuple[Any, ...]


class World:
    """A table of ``ROWS`` rows to be filled, its slice, and sessions to run batches on."""

    def __init__(self, connect: Connect, statement: Statement) -> None:
        self.statement, self.connect, self.admin = statement, connect, connect()
        self.admin.execute("DROP TABLE IF EXISTS t")
        self.admin.execute("CREATE TABLE t (id int PRIMARY KEY, s text, n text)")
        self.admin.execute("INSERT INTO t SELECT i, 'a' || i FROM generate_series(1, %s) AS i", [ROWS])
        self.admin.execute("DELETE FROM osc.slice")
        self.admin.execute("DELETE FROM osc.pause")
        self.admin.execute(
            "INSERT INTO osc.change (id, plan, plan_hash, program, program_hash)"
            " VALUES ('c', '-', '-', '{}', '-') ON CONFLICT DO NOTHING"
        )
        ((self.slice,),) = self.admin.execute(
            "INSERT INTO osc.slice (change, step, epoch) SELECT change, 'fill', 7 FROM osc.change RETURNING slice").fetchall()  # fmt: skip

    def run(
        self, lo: list[str] | None, seq: int, *, epoch: int = 7, on: psycopg.Connection[Any] | None = None
    ) -> Row | None:
        """Execute one batch and return its row."""
        cursor = RawCursor(on or self.admin)
        return cursor.execute(self.statement, [lo, None, LIMIT, self.slice, epoch, seq, 0]).fetchone()

    def filled(self) -> int:
        ((count,),) = self.admin.execute("SELECT count(n) FROM t").fetchall()
        return int(count)

    def state(self) -> Row:
        (row,) = self.admin.execute("SELECT cursor, seq, epoch, finished FROM osc.slice").fetchall()
        return row

    def blocked(self, blocker: str, unblock: str, lo: list[str] | None, seq: int) -> Row | None:
        """Start a batch while ``blocker`` is open in another transaction, which ends once the batch waits for it."""
        other, mine = self.connect(autocommit=False), self.connect()
        other.execute(blocker)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.run, lo, seq, on=mine)
            until(lambda: waits_for_a_lock(self.admin, mine) or running.done())
            other.execute(unblock)
            return running.result(10)


def walks_to_the_end(world: World) -> bool:
    lo, finished, seq = None, False, 0
    while not finished:
        row = world.run(lo, seq)
        if row is None or seq > ROWS:
            return False
        lo, finished, seq = row[0], row[1], seq + 1
    return world.filled() == ROWS and world.state() == (["95"], 10, 7, True)


def no_row_means_nothing_was_written(world: World) -> bool:
    row = world.run(None, 0)
    return row is not None or world.filled() == 0


def an_old_epoch_writes_nothing(world: World) -> bool:
    world.admin.execute("UPDATE osc.slice SET epoch = 8")
    return world.run(None, 0) is None and world.filled() == 0 and world.state() == (None, 0, 8, False)


def a_takeover_during_the_batch_stops_it(world: World) -> bool:
    row = world.blocked("UPDATE osc.slice SET epoch = 8", "COMMIT", None, 0)
    return row is None and world.filled() == 0 and world.state() == (None, 0, 8, False)


def a_takeover_that_fails_does_not(world: World) -> bool:
    row = world.blocked("UPDATE osc.slice SET epoch = 8", "ROLLBACK", None, 0)
    return row is not None and world.filled() == LIMIT


def a_replay_writes_nothing_and_sets_nothing_back(world: World) -> bool:
    world.run(None, 0)
    world.run(["10"], 1)
    before = world.state()
    world.admin.execute("UPDATE t SET n = NULL WHERE id <= 5")
    return world.run(None, 0) is None and world.state() == before and world.filled() == 2 * LIMIT - 5


def a_blocked_rival_sets_nothing_back(world: World) -> bool:
    """Two walk one slice by mistake; the one that waited for the other's checkpoint finds its own too old."""
    first = world.connect(autocommit=False)
    world.run(None, 0, on=first)
    second = world.connect()
    with ThreadPoolExecutor(1) as pool:
        rival = pool.submit(world.run, None, 0, on=second)
        until(lambda: waits_for_a_lock(world.admin, second))
        first.execute("COMMIT")
        return rival.result(10) is None and world.state()[:2] == (["10"], 1)


def a_pause_is_obeyed(world: World) -> bool:
    world.admin.execute("INSERT INTO osc.pause (scope, paused_by) VALUES ('*', 'sre')")
    return world.run(None, 0) is None and world.filled() == 0 and world.state() == (None, 0, 7, False)


PROMISES: tuple[Callable[[World], bool], ...] = (
    walks_to_the_end, no_row_means_nothing_was_written, an_old_epoch_writes_nothing, a_takeover_during_the_batch_stops_it,
    a_takeover_that_fails_does_not, a_replay_writes_nothing_and_sets_nothing_back, a_blocked_rival_sets_nothing_back,
    a_pause_is_obeyed,
)  # fmt: skip

SHAPES: dict[str, tuple[Callable[[str], str], set[str]]] = {
    "right": (lambda right: right, set()),
    "two updates of one row": (
        two_updates_of_one_row,
        {"walks_to_the_end", "no_row_means_nothing_was_written", "a_takeover_that_fails_does_not",
         "a_blocked_rival_sets_nothing_back"},
    ),
    "checkpoint after the update": (
        checkpoint_after_the_update,
        {"an_old_epoch_writes_nothing", "a_takeover_during_the_batch_stops_it", "a_pause_is_obeyed",
         "a_replay_writes_nothing_and_sets_nothing_back"},
    ),
    "epoch read by join": (
        epoch_read_by_join,
        {"a_takeover_during_the_batch_stops_it", "a_blocked_rival_sets_nothing_back"},
    ),
    "no seq guard": (
        no_seq_guard,
        {"a_replay_writes_nothing_and_sets_nothing_back", "a_blocked_rival_sets_nothing_back"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_the_right_shape_keeps_every_promise_and_each_wrong_one_breaks_some(
    dsn: str, connect: Connect, shape: str
) -> None:
    make_state(dsn)
    change, broken = SHAPES[shape]
    statement = change(batch.plain(PAGE, FILLED))
    assert {one.__name__ for one in PROMISES if not one(World(connect, statement))} == broken


def test_values_come_from_the_row_version_that_was_locked_and_a_value_read_before_would_be_stale(
    dsn: str, connect: Connect
) -> None:
    """S10, F51: the application changes row 5 and deletes row 6 between the batch's bounds and its update."""
    make_state(dsn)
    right = batch.plain(PAGE, FILLED)
    head, update = right.split("), filled AS (")
    update = replaced(
        update,
        ('SET "n" = upper(s)\n', "SET n = read.n FROM read\n"),
        ("    WHERE (", "    WHERE read.id = t.id AND ("),
    )
    stale = f"{head}), read AS MATERIALIZED (SELECT r.id, upper(r.s) AS n FROM public.t AS r), filled AS ({update}"
    found = {}
    for name, statement in (("right", right), ("stale", stale)):
        world = World(connect, statement)
        world.blocked("UPDATE t SET s = 'new' WHERE id = 5; DELETE FROM t WHERE id = 6", "COMMIT", None, 0)
        found[name] = world.admin.execute("SELECT id, n FROM t WHERE id BETWEEN 4 AND 7 ORDER BY id").fetchall()
    assert found["right"] == [(4, "A4"), (5, "NEW"), (7, "A7")]
    assert found["stale"] == [(4, "A4"), (5, "A5"), (7, "A7")]


def test_a_row_that_the_application_filled_meanwhile_keeps_its_value(dsn: str, connect: Connect) -> None:
    make_state(dsn)
    world = World(connect, batch.plain(PAGE, FILLED))
    world.blocked("UPDATE t SET n = 'mine' WHERE id = 5", "COMMIT", None, 0)
    assert world.admin.execute("SELECT n FROM t WHERE id IN (5, 6) ORDER BY id").fetchall() == [("mine",), ("A6",)]


def test_a_batch_without_its_trigger_writes_nothing(dsn: str, connect: Connect) -> None:
    make_state(dsn)
    world = World(connect, batch.plain(PAGE, FILLED, guard="EXISTS (SELECT FROM pg_trigger WHERE tgname = 'ours')"))
    assert world.run(None, 0) is None
    assert (world.filled(), world.state()) == (0, (None, 0, 7, False))


def test_a_pause_commits_at_once_in_the_middle_of_a_storm_of_batches(dsn: str, connect: Connect) -> None:
    """I20: ``paused`` is read, never locked, so the pause does not even wait for the batch that is in flight."""
    make_state(dsn)
    world = World(connect, batch.plain(PAGE, FILLED))
    in_flight = world.connect(autocommit=False)
    assert world.run(None, 0, on=in_flight) is not None
    sre = world.connect()
    sre.execute("SET lock_timeout = '1ms'")
    sre.execute("INSERT INTO osc.pause (scope, paused_by) VALUES ('*', 'sre')")
    in_flight.commit()
    assert world.run(["10"], 1) is None
    assert world.filled() == LIMIT


def test_several_columns_are_filled_at_once_each_where_it_is_null(dsn: str, connect: Connect) -> None:
    make_state(dsn)
    filled = (Filled("n", "upper(s)"), Filled("m", "nullif(id, 3)"), Filled("u", "nextval('seq')", never_null=True))
    world = World(connect, batch.plain(PAGE, filled))
    world.admin.execute("CREATE SEQUENCE IF NOT EXISTS seq")
    world.admin.execute("ALTER TABLE t ADD COLUMN m int, ADD COLUMN u int")
    world.admin.execute("UPDATE t SET m = -1, n = 'kept' WHERE id = 2")
    world.admin.execute("UPDATE t SET u = 0, n = 'x' WHERE id = 3")
    world.run(None, 0)
    rows = world.admin.execute("SELECT id, n, m, u > 0 FROM t WHERE id < 5 ORDER BY id").fetchall()
    assert rows == [(1, "A1", 1, True), (2, "kept", -1, True), (3, "x", None, False), (4, "A4", 4, True)]
    assert world.admin.execute("SELECT last_value FROM seq").fetchall() == [(9,)], "nothing is drawn twice"
