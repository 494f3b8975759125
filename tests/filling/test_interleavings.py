"""What a batch and the application's transactions do to each other, one scripted meeting at a time.

The application always comes out as if osc were not there, and its row ends in step (engines.md S1-S14, reliability.md
F40-F67). Who waits is seen in the server's locks; nothing here relies on a pause being long enough.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.state import pauses
from tests.filling.test_mutants import changed
from tests.filling.walk import AS_OSC

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.filling.conftest import Items
    from tests.filling.walk import Fill

BEHIND_THE_TRIGGER = "SET osc.writer = 'backfill'"
"""Makes a session invisible to the sync trigger, so that only the batch itself can get it right."""
MERGE = """
MERGE INTO items USING (VALUES (3, 44)) AS n (id, v) ON items.id = n.id
WHEN MATCHED THEN UPDATE SET v = n.v WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.v)"""


# --------------------------------------------------------------- the application is there first


def batch_meets_a_write(fill: Fill, batch: str, *writes: str, behind_the_trigger: bool = False) -> None:
    """Let a batch wait for a transaction that then commits ``writes``."""
    app, lane = fill.app(), fill.lane()
    if behind_the_trigger:
        app.execute(BEHIND_THE_TRIGGER)
    with app.transaction():
        for write in writes:
            app.execute(write.encode())
        batching = lane.begin(lambda: lane.batch(100, batch))
        fill.await_blocked(lane.conn)
    batching.result(10)


def test_the_value_is_computed_from_the_version_that_was_locked(items: Items) -> None:
    fill = items()
    batch_meets_a_write(fill, fill.step.batch, "UPDATE items SET v = 99 WHERE id = 3", behind_the_trigger=True)
    assert fill.rows()[2] == (3, 99, 990)


def test_a_value_read_before_the_lock_would_be_stale(items: Items) -> None:
    """The same meeting with a value taken from the statement's snapshot: the story above can fail."""
    fill = items()
    read = '    SET "w" = (SELECT o.v::bigint * 10 FROM public.items AS o WHERE o.id = "items".id)\n'
    stale = changed(fill.step.batch, ('    SET "w" = (\nv::bigint * 10\n)\n', read))
    batch_meets_a_write(fill, stale, "UPDATE items SET v = 99 WHERE id = 3", behind_the_trigger=True)
    assert fill.rows()[2] == (3, 99, 30)


WRITES = {
    1: ("DELETE FROM items WHERE id = 1", None),
    2: ("UPDATE items SET v = 99 WHERE id = 2", (99, 990)),
    3: ("UPDATE items SET w = 770 WHERE id = 3", (77, 770)),
    4: ("UPDATE items SET v = NULL WHERE id = 4", (None, None)),
    5: ("DELETE FROM items WHERE id = 5; INSERT INTO items VALUES (5, 55)", (55, 550)),
    6: ("UPDATE items SET id = 60 WHERE id = 6", None),
    7: ("SELECT FROM items WHERE id = 7 FOR UPDATE", (7, 70)),
}
"""What the application does to a row while a batch is under way, and what the row is at last."""


@pytest.mark.both_versions
def test_a_batch_that_waited_keeps_what_the_application_committed(items: Items) -> None:
    fill = items()
    batch_meets_a_write(fill, fill.step.batch, *(write for write, _ in WRITES.values()))
    found = {row[0]: row[1:] for row in fill.rows()}
    assert {key: found.get(key) for key in WRITES} == {key: row for key, (_, row) in WRITES.items()}
    assert fill.out_of_step() == []


# ---------------------------------------------------------------------- the batch is there first


@pytest.mark.parametrize(
    ("write", "row"),
    [
        ("UPDATE items SET v = 99 WHERE id = 3", (3, 99, 990)),
        ("UPDATE items SET v = v + 1 WHERE id = 3", (3, 4, 40)),
        ("UPDATE items SET w = 770 WHERE id = 3", (3, 77, 770)),
        ("DELETE FROM items WHERE id = 3", None),
        ("DELETE FROM items WHERE id = 3; INSERT INTO items VALUES (3, 55)", (3, 55, 550)),
        ("INSERT INTO items VALUES (3, 66) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", (3, 66, 660)),
        (MERGE, (3, 44, 440)),
        ("UPDATE items SET id = -3 WHERE id = 3", None),
        ("TRUNCATE items", None),
    ],
    ids=["update", "increment", "update new", "delete", "reinsert", "upsert", "merge", "move key", "truncate"],
)
def test_a_write_that_waited_for_a_batch_is_neither_lost_nor_undone(
    items: Items, write: str, row: tuple[object, ...] | None
) -> None:
    fill = items()
    app, lane = fill.lane(), fill.lane()
    app.conn.execute("RESET osc.writer; SET search_path = public")
    with lane.conn.transaction():
        lane.batch()
        writing = app.begin(lambda: app.conn.execute(write.encode()))
        fill.await_blocked(app.conn)
    writing.result(10)
    assert next((one for one in fill.rows() if one[0] == 3), None) == row
    assert fill.out_of_step() == []


def test_rows_copied_into_the_window_of_an_uncommitted_batch_are_in_step(items: Items) -> None:
    fill = items()
    fill.conn.execute("DELETE FROM public.items WHERE id BETWEEN 3 AND 6")
    app, lane = fill.app(), fill.lane()
    with lane.conn.transaction():
        lane.batch()
        with app.cursor().copy("COPY items (id, v) FROM STDIN") as copy:
            for n in (3, 4, 5, 6, 11):
                copy.write_row((n, n))
    assert [row[2] for row in fill.rows()] == [10 * n for n in range(1, 12)]


# ------------------------------------------------------------------------------ across the cursor


def test_a_key_moved_from_above_the_cursor_to_below_is_filled_by_the_trigger(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(), fill.app()
    lane.batch(4)
    app.execute("UPDATE items SET id = 0 WHERE id = 9")
    assert fill.rows()[0] == (0, 9, 90)


def test_what_moved_past_both_trigger_and_cursor_is_found_by_verification_and_sent_back(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(), fill.app()
    app.execute(BEHIND_THE_TRIGGER)
    lane.batch(4)
    app.execute("UPDATE items SET id = 0 WHERE id = 9")
    assert (lane.batch() or pytest.fail("fenced")).finished
    assert fill.out_of_step() == [["0"]]
    assert lane.revisit(["0"], ["0"]) == (1, 0)
    assert fill.out_of_step() == []


def test_a_table_truncated_and_filled_anew_behind_the_cursor_is_complete(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(), fill.app()
    lane.batch(4)
    app.execute("TRUNCATE items RESTART IDENTITY")
    app.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 3) AS n")
    reply = lane.batch()
    assert reply
    assert (reply.finished, reply.rows) == (True, 0)
    assert fill.rows() == [(1, 1, 10), (2, 2, 20), (3, 3, 30)]


# ---------------------------------------------------------------------------------- rows in use


def test_a_row_locked_by_a_transaction_that_changes_nothing_is_noted_and_visited_again(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(), fill.app()
    lane.conn.execute("SET lock_timeout = '2s'")  # that it does not wait is the point
    with app.transaction(force_rollback=True):
        app.execute("SELECT FROM items WHERE id IN (3, 7) FOR UPDATE")
        first, second = lane.skipping(5), lane.skipping(5)
        assert first
        assert second
        assert [first.skipped, second.skipped] == [1, 1]
        notes = fill.notes()
        assert [note[1:] for note in notes] == [(None, ["5"], 1), (["5"], ["10"], 1)]
        assert lane.revisit(None, ["5"], notes[0][0]) == (0, 1)
    assert fill.notes() == notes
    assert fill.unfilled() == [3, 7]
    assert [lane.revisit(lo, hi, note) for note, lo, hi, _ in notes] == [(1, 0), (1, 0)]
    assert fill.notes() == []
    assert fill.unfilled() == []


def test_a_key_share_lock_keeps_no_row_from_being_filled(items: Items) -> None:
    """What a foreign key's check takes on a parent row: FOR NO KEY UPDATE goes with it."""
    fill = items()
    app = fill.app()
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR KEY SHARE")
        assert fill.lane().skipping()
        assert fill.unfilled() == []


def test_the_application_that_locks_in_the_other_order_goes_on_and_the_batch_gives_up(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(hurried=True), fill.app()
    with app.transaction():
        app.execute("UPDATE items SET v = 80 WHERE id = 8")
        batching = lane.begin(lane.batch)
        begun = time.monotonic()
        app.execute("UPDATE items SET v = 30 WHERE id = 3")
        waited_s = time.monotonic() - begun
        with pytest.raises(psycopg.errors.LockNotAvailable):
            batching.result(10)
    assert waited_s < 0.9, "less than deadlock_timeout, whatever the batch waits for"
    assert fill.saved() == (None, 0)
    assert lane.batch()
    assert fill.out_of_step() == []


def meet_crosswise(fill: Fill, *, hurried: bool) -> None:
    """Let the application wait for the batch first, and only then the batch for the application.

    A hurried batch may give up before anybody could be seen waiting, which is its point.
    """
    lane, app, third = fill.lane(hurried=hurried), fill.lane(), fill.app()
    app.conn.execute("RESET osc.writer; SET deadlock_timeout = '500ms'")
    with app.conn.transaction():
        app.conn.execute("UPDATE public.items SET v = 80 WHERE id = 8")
        with third.transaction():
            third.execute("SELECT FROM items WHERE id = 6 FOR UPDATE")
            batching = lane.begin(lane.batch)
            if not hurried:
                fill.await_blocked(lane.conn)
            writing = app.begin(lambda: app.conn.execute("UPDATE public.items SET v = 30 WHERE id = 3"))
            if not hurried:
                fill.await_blocked(app.conn)
        writing.result(10)
    assert hurried or batching.result(10)


def test_the_application_is_not_the_victim_when_it_waited_first(items: Items) -> None:
    fill = items()
    meet_crosswise(fill, hurried=True)
    assert fill.rows()[2] == (3, 30, 300)


def test_without_the_timeouts_the_application_would_be_the_victim(items: Items) -> None:
    fill = items()
    with pytest.raises(psycopg.errors.DeadlockDetected):
        meet_crosswise(fill, hurried=False)


# ------------------------------------------------------------------------- pause, fence, sequence


def pause(fill: Fill, scope: str) -> None:
    """Pause as the verb does, in a session that would not wait for a lock."""

    async def paused() -> None:
        options = f"{AS_OSC} -c lock_timeout=1"
        async with await psycopg.AsyncConnection.connect(fill.dsn, autocommit=True, options=options) as conn:
            await pauses.pause(conn, scope, who="ann", reason="")

    asyncio.run(paused())


@pytest.mark.parametrize("scope", ["change:00001_change", "table:public.items", "*"])
def test_a_pause_commits_while_a_batch_waits_and_nothing_is_written_after_that_batch(items: Items, scope: str) -> None:
    fill = items()
    app, lane = fill.app(), fill.lane()
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        batching = lane.begin(lambda: lane.batch(4))
        fill.await_blocked(lane.conn)
        pause(fill, scope)
        assert not batching.done()
    assert batching.result(10)
    assert lane.batch(4) is None
    assert lane.skipping(4) is None
    assert lane.revisit(None, None) is None
    assert fill.unfilled() == [5, 6, 7, 8, 9, 10]
    assert fill.saved() == (["4"], 1)


def test_the_same_batch_twice_writes_once(items: Items) -> None:
    fill = items()
    first, second, app = fill.lane(), fill.lane(), fill.app()
    app.execute(BEHIND_THE_TRIGGER)
    assert first.batch(4)
    app.execute("UPDATE items SET w = NULL WHERE id = 2")
    assert second.batch(4) is None
    assert fill.unfilled() == [2, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("do", ["batch", "skipping", "revisit"])
def test_a_lane_that_waits_for_its_slice_while_it_is_taken_over_writes_nothing(items: Items, do: str) -> None:
    fill = items()
    zombie, successor = fill.lane(), fill.app()
    deeds: dict[str, Callable[[], object]] = {
        "batch": lambda: zombie.batch(4),
        "skipping": lambda: zombie.skipping(4),
        "revisit": lambda: zombie.revisit(None, None),
    }
    with successor.transaction():
        fill.take_over(successor)
        late = zombie.begin(deeds[do])
        fill.await_blocked(zombie.conn)
    assert late.result(10) is None
    assert fill.unfilled() == list(range(1, 11))
    assert fill.saved() == (None, 0)


def test_nothing_is_filled_while_the_sync_trigger_does_not_fire(items: Items) -> None:
    fill = items()
    lane, app = fill.lane(), fill.app()
    trigger = fill.value("SELECT tgname FROM pg_trigger WHERE starts_with(tgname, '~osc')")
    for disabled in (f'DISABLE TRIGGER "{trigger}"', f'ENABLE TRIGGER "{trigger}"'):
        app.execute(f"ALTER TABLE items {disabled}".encode())
        assert (lane.batch(), lane.skipping(), lane.revisit(None, None)) == (None, None, None)
    app.execute(f'ALTER TABLE items ENABLE ALWAYS TRIGGER "{trigger}"'.encode())
    assert lane.batch()
    assert fill.unfilled() == []
