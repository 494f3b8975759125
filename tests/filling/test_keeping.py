"""A fill of the application's own column keeps what it overwrote, in its own statement; its way back is as careful.

The statements of a compiled program run by hand, one call one batch, with the application in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.filling.walk import Fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.postgres import Connect

SET = """
- set_not_null:
    table: items
    column: v
    fill: 7
"""
BESIDE = (
    SET
    + """
- set_not_null:
    table: items
    column: x
    fill: {sql: "id * 10"}
- change_column:
    table: items
    column: u
    to: w
    type: bigint
"""
)
ACKED = "backfill: {require: [{ack: writers-comply}]}\n"
pytestmark = pytest.mark.both_versions


class Kept(Fill):
    """A fill of ``items`` that keeps; ``back`` makes its slice that of the way back."""

    def kept(self) -> dict[str, Any]:
        """Return what is kept, by key."""
        return dict(self.rows("SELECT key[1], ours FROM osc.kept ORDER BY key[1]::int"))

    def back(self) -> None:
        """Begin the way back, as osc does: with a slice of its own."""
        assert self.step.put_back is not None
        self.step = self.step.put_back.model_copy(update={"id": self.step.id})
        self.conn.execute("UPDATE osc.slice SET cursor = NULL, seq = 0, finished = false")

    def values(self) -> list[Any]:
        """Return column v by id."""
        return [row[0] for row in self.rows("SELECT v FROM public.items ORDER BY id")]


@pytest.fixture
def begin(dsn: str, connect: Connect) -> Iterator[Callable[..., Kept]]:
    """Give a function that makes table ``items``, in which odd rows hold NULL, and begins its fill."""
    begun: list[Kept] = []

    def make(operations: str = SET, rows: int = 6, of: str = "int") -> Kept:
        conn = connect()
        conn.execute(f"CREATE TABLE items (id bigint PRIMARY KEY, v {of}, x bigint, u int, note text)")
        conn.execute(
            "INSERT INTO items SELECT n, CASE WHEN n % 2 = 0 THEN n END, CASE WHEN n % 3 = 0 THEN 1 END, n"
            f" FROM generate_series(1, {rows}) AS n"
        )
        begun.append(Kept(dsn, connect, f"{operations}{ACKED}"))
        return begun[-1]

    yield make
    for fill in begun:
        fill.close()


# ------------------------------------------------------------------------------------------- the fill


def test_a_batch_keeps_the_rows_it_filled_and_no_other(begin: Callable[..., Kept]) -> None:
    fill = begin()
    assert fill.lane().batch(4)
    assert (fill.values(), fill.kept()) == ([7, 2, 7, 4, None, 6], {"1": {"v": "7"}, "3": {"v": "7"}})


def test_of_several_columns_only_those_that_were_null_are_kept(begin: Callable[..., Kept]) -> None:
    """A column beside it that is filled too is not the application's, and is not kept."""
    fill = begin(BESIDE)
    reply = fill.lane().batch(100)
    assert reply is not None
    assert reply.filled == 6
    assert fill.rows("SELECT v, x, w FROM public.items ORDER BY id") == [
        (7, 10, 1), (2, 20, 2), (7, 1, 3), (4, 40, 4), (7, 50, 5), (6, 1, 6)
    ]  # fmt: skip
    assert fill.kept() == {
        "1": {"v": "7", "x": "10"}, "2": {"x": "20"}, "3": {"v": "7"}, "4": {"x": "40"}, "5": {"v": "7", "x": "50"}
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", "skipping", "revisit"])
def test_what_another_lane_may_not_fill_it_does_not_keep(begin: Callable[..., Kept], kind: str) -> None:
    fill = begin()
    zombie = fill.lane()
    fill.take_over(fill.conn)
    reply = {"plain": zombie.batch, "skipping": zombie.skipping, "revisit": lambda: zombie.revisit(None, None)}[kind]()
    assert (reply, fill.kept(), fill.values().count(None)) == (None, {}, 3)


def test_a_value_that_the_application_writes_while_the_batch_waits_is_neither_overwritten_nor_kept(
    begin: Callable[..., Kept],
) -> None:
    fill = begin()
    app, lane = fill.app(), fill.lane()
    with app.transaction():
        app.execute("UPDATE items SET v = 99 WHERE id = 3")
        batch = lane.begin(lane.batch)
        fill.await_blocked(lane.conn)
    batch.result(10)
    assert (fill.values(), fill.kept()) == ([7, 2, 99, 4, 7, 6], {"1": {"v": "7"}, "5": {"v": "7"}})


def test_a_locked_row_is_left_noted_and_kept_only_when_it_is_visited(begin: Callable[..., Kept]) -> None:
    fill = begin()
    app, lane = fill.app(), fill.lane()
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        reply = lane.skipping()
        assert reply is not None
        assert (reply.filled, reply.skipped, list(fill.kept())) == (2, 1, ["1", "5"])
    ((note, lo, hi, _),) = fill.notes()
    assert lane.revisit(lo, hi, note) == (1, 0)
    assert (list(fill.kept()), fill.notes()) == (["1", "3", "5"], [])


def test_a_row_that_is_filled_again_is_kept_with_the_newest_value(begin: Callable[..., Kept]) -> None:
    fill = begin(SET.replace("fill: 7", "fill: {sql: u}"))
    lane = fill.lane()
    lane.batch()
    fill.app().execute("UPDATE items SET v = NULL, u = 50 WHERE id = 3")
    assert lane.revisit(None, None) == (1, 0)
    assert fill.kept() == {"1": {"v": "1"}, "3": {"v": "50"}, "5": {"v": "5"}}


# --------------------------------------------------------------------------------------- the way back


def test_a_batch_back_puts_back_what_holds_ours_and_forgets_what_it_looked_at(begin: Callable[..., Kept]) -> None:
    fill = begin()
    fill.lane().batch()
    fill.app().execute("UPDATE items SET v = 8 WHERE id = 3")
    fill.back()
    lane = fill.lane()
    reply = lane.batch(2)
    assert reply is not None
    assert (reply.rows, reply.filled, reply.finished) == (2, 1, False)
    assert (fill.values(), list(fill.kept())) == ([None, 2, 8, 4, 7, 6], ["5"])
    lane.batch(2)
    assert (fill.values(), fill.kept()) == ([None, 2, 8, 4, None, 6], {})


@pytest.mark.parametrize("kind", ["plain", "skipping", "revisit", "pass_over"])
def test_a_zombie_puts_nothing_back_and_forgets_nothing(begin: Callable[..., Kept], kind: str) -> None:
    fill = begin()
    fill.lane().batch()
    fill.back()
    zombie, before = fill.lane(), fill.kept()
    fill.take_over(fill.conn)
    if kind == "pass_over":
        assert zombie._row(fill.step.pass_over, 1, None, None, "23514", "no") is None
    else:
        reply = {"plain": zombie.batch, "skipping": zombie.skipping, "revisit": lambda: zombie.revisit(None, None)}
        assert reply[kind]() is None
    assert (fill.values(), fill.kept(), fill.saved()) == ([7, 2, 7, 4, 7, 6], before, (None, 0))
    assert fill.rows("SELECT key FROM osc.poison") == []


def test_a_takeover_waits_for_the_batch_back_in_flight(begin: Callable[..., Kept]) -> None:
    fill = begin()
    fill.lane().batch()
    fill.back()
    app, zombie, successor = fill.app(), fill.lane(), fill.lane(epoch=2)
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        late = zombie.begin(zombie.batch)
        fill.await_blocked(zombie.conn)
        taking = successor.begin(lambda: fill.take_over(successor.conn))
        fill.await_blocked(successor.conn)
    late.result(10)
    taking.result(10)
    assert (fill.values().count(None), fill.kept()) == (3, {})


def test_a_value_that_the_application_writes_while_the_batch_back_waits_stays(begin: Callable[..., Kept]) -> None:
    fill = begin()
    fill.lane().batch()
    fill.back()
    app, lane = fill.app(), fill.lane()
    with app.transaction():
        app.execute("UPDATE items SET v = 99 WHERE id = 3")
        batch = lane.begin(lane.batch)
        fill.await_blocked(lane.conn)
    batch.result(10)
    assert fill.values() == [None, 2, 99, 4, None, 6]


def test_a_locked_row_stays_kept_until_it_can_be_put_back(begin: Callable[..., Kept]) -> None:
    fill = begin()
    fill.lane().batch()
    fill.back()
    app, lane = fill.app(), fill.lane()
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        reply = lane.skipping()
        assert reply is not None
        assert (reply.filled, reply.skipped) == (2, 1)
        ((note, lo, hi, _),) = fill.notes()
        assert lane.revisit(lo, hi, note) == (0, 1)
        assert (list(fill.kept()), fill.values()[2]) == (["3"], 7)
    assert lane.revisit(lo, hi, note) == (1, 0)
    assert (fill.values(), fill.kept(), fill.notes()) == ([None, 2, None, 4, None, 6], {}, [])


def test_of_several_columns_each_is_put_back_by_itself(begin: Callable[..., Kept]) -> None:
    fill = begin(BESIDE)
    fill.lane().batch()
    fill.app().execute("UPDATE items SET x = 11 WHERE id = 1; UPDATE items SET v = 8 WHERE id = 5")
    fill.back()
    fill.lane().batch()
    assert fill.rows("SELECT v, x, w FROM public.items ORDER BY id") == [
        (None, 11, 1), (2, None, 2), (None, 1, 3), (4, None, 4), (8, None, 5), (6, 1, 6)
    ]  # fmt: skip


def test_an_equal_value_of_another_image_is_the_applications(begin: Callable[..., Kept]) -> None:
    """1.5 and 1.50 are equal: who wrote the first wrote something."""
    fill = begin(SET.replace("fill: 7", "fill: 1.50"), of="numeric")
    fill.lane().batch()
    fill.app().execute("UPDATE items SET v = 1.5 WHERE id = 3")
    fill.back()
    fill.lane().batch()
    assert [str(value) for value in fill.values()] == ["None", "2", "1.5", "4", "None", "6"]


def test_the_way_back_walks_its_keys_and_not_the_whole_of_what_others_kept(begin: Callable[..., Kept]) -> None:
    """Each side of the join is found by its index, whatever the statistics say."""
    fill = begin(rows=2000)
    fill.conn.execute(
        "INSERT INTO osc.kept (change, step, key, ours) SELECT 0, 'other', ARRAY[n::text], '{}' FROM generate_series(1, 2000) AS n"
    )
    fill.lane().batch(5000)
    fill.back()
    lane = fill.lane()
    sql = fill.step.batch
    for n, value in enumerate(("NULL::text[]", "NULL::text[]", "10", str(fill.slice), "1", "0", "0"), 1):
        sql = sql.replace(f"${n}", value)
    plan = "\n".join(row[0] for row in lane.conn.execute(f"EXPLAIN {sql}".encode()).fetchall())
    assert "Seq Scan on kept" not in plan
    assert "Seq Scan on items" not in plan
