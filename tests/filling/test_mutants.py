"""The batch is fence, checkpoint and fill in one statement; its near misses, which look the same, are caught here.

Each scenario is a story about one danger. The statement that osc runs comes through all of them; each mutant of it
(rationale.md item 8) fails in the scenario that is about it, so a scenario that cannot fail would be noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.filling.conftest import Items
    from tests.filling.walk import Fill

    Scenario = Callable[[Fill, str], None]
    Mutant = Callable[[str], str]

HEAD = """moved AS (
    UPDATE osc.slice AS s
"""
SET = """    SET cursor = CASE WHEN edge.is_last THEN coalesce($2::text[], edge.cursor, s.cursor) ELSE edge.cursor END,
        seq = s.seq + 1, batches = s.batches + 1, rows_seen = s.rows_seen + edge.rows,
        finished = edge.is_last AND $2::text[] IS NOT DISTINCT FROM s.hi
"""
SEQ = "AND s.seq = $6"
GATE = "FROM moved AS w"
SAID = """SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled)"""


# ------------------------------------------------------------------------------------------- scenarios


def the_reply_tells_what_was_done(fill: Fill, batch: str) -> None:
    """No row means that nothing was written; a row means that rows and checkpoint are there together."""
    reply = fill.lane().batch(4, batch)
    assert fill.unfilled() == ([5, 6, 7, 8, 9, 10] if reply else list(range(1, 11)))
    assert fill.saved() == ((["4"], 1) if reply else (None, 0))


def an_older_epoch_writes_nothing(fill: Fill, batch: str) -> None:
    """A lane whose slice was claimed by another finds no row, and leaves none behind."""
    zombie = fill.lane()
    fill.take_over(fill.conn)
    zombie.batch(4, batch)
    assert fill.unfilled() == list(range(1, 11))


def a_takeover_waits_for_the_batch_in_flight(fill: Fill, batch: str) -> None:
    """Once a takeover is committed nothing of the old epoch is: here it has to wait for a batch that waits for a row."""
    app, zombie, successor = fill.app(), fill.lane(), fill.lane(epoch=2)
    with app.transaction():
        app.execute("SELECT FROM items WHERE id = 3 FOR UPDATE")
        late = zombie.begin(lambda: zombie.batch(4, batch))
        fill.await_blocked(zombie.conn)
        taking = successor.begin(lambda: fill.take_over(successor.conn))
        while not taking.done() and not fill.value(
            "SELECT cardinality(pg_blocking_pids(%s)) > 0", successor.conn.info.backend_pid
        ):
            pass
        taken_first = taking.done()
    late.result(10)
    taking.result(10)
    assert not (taken_first and len(fill.unfilled()) < 10), "the zombie wrote after the takeover was committed"


def a_rival_never_sets_the_cursor_back(fill: Fill, batch: str) -> None:
    """The same batch sent twice, the second waiting for the first: it must not repeat what is long past."""
    lane, rival = fill.lane(), fill.lane()
    with lane.conn.transaction():
        assert lane.batch(2)
        echo = rival.begin(lambda: rival.batch(2, batch))
        fill.await_blocked(rival.conn)
        assert lane.batch(2)
        assert lane.batch(2)
    echo.result(10)
    assert fill.saved() == (["6"], 3)


SCENARIOS: list[Scenario] = [
    the_reply_tells_what_was_done,
    an_older_epoch_writes_nothing,
    a_takeover_waits_for_the_batch_in_flight,
    a_rival_never_sets_the_cursor_back,
]
WITHOUT_WAITING = [one for one in SCENARIOS if one is not a_takeover_waits_for_the_batch_in_flight]


# --------------------------------------------------------------------------------------------- mutants


def changed(sql: str, *changes: tuple[str, str]) -> str:
    """Return ``sql`` with each text replaced; every one must be there."""
    for old, new in changes:
        assert sql.count(old) == 1, (old, sql)
        sql = sql.replace(old, new)
    return sql


def two_updates_of_one_row(batch: str) -> str:
    """Return the batch with fence and checkpoint apart: the second UPDATE of the row is silently dropped."""
    fence = """fence AS (
    UPDATE osc.slice AS f SET seq = f.seq + 1 WHERE f.slice = $4 AND f.epoch = $5 AND f.seq = $6 RETURNING f.slice
), """
    return changed(
        batch,
        (HEAD, fence + HEAD),
        (SET, "    SET cursor = edge.cursor, finished = edge.is_last\n"),
        ("    FROM edge\n", "    FROM edge, fence\n"),
        (GATE, "FROM edge AS w, fence"),
    )


def checkpoint_after_the_update(batch: str) -> str:
    """Return the batch whose table is changed whatever the checkpoint says."""
    return changed(batch, (GATE, "FROM edge AS w"))


def epoch_read_by_join(batch: str) -> str:
    """Return the batch that looks at the slice without locking it, and updates it at the end."""
    late = """, late AS (
    UPDATE osc.slice AS s SET cursor = moved.cursor, seq = s.seq + 1
    FROM moved, (SELECT count(*) FROM filled) AS done
    WHERE s.slice = $4 AND s.epoch = $5
)
"""
    returning = next(line for line in batch.splitlines() if line.startswith("    RETURNING s.change, s.step")) + "\n"
    counted = returning.split("edge.lsn")[1].rstrip("\n")
    head, where = batch.split(HEAD)
    where = where.split("    WHERE s.slice", 1)[1]
    batch = f"{head}moved AS (\n    SELECT s.change, s.step, s.slice, coalesce(edge.cursor, s.cursor) AS cursor,\n"
    batch += f"        edge.rows < $3 AS finished, edge.rows, edge.lsn{counted} FROM osc.slice AS s, edge\n    WHERE s.slice{where}"
    return changed(batch, (returning, ""), ("\n)\n" + SAID, "\n)" + late + SAID))


def no_seq_guard(batch: str) -> str:
    """Return the batch that every lane of this epoch may repeat."""
    return changed(batch, (SEQ, "AND $6::bigint IS NOT NULL"))


MUTANTS: list[tuple[Mutant, Scenario]] = [
    (two_updates_of_one_row, the_reply_tells_what_was_done),
    (checkpoint_after_the_update, an_older_epoch_writes_nothing),
    (epoch_read_by_join, a_takeover_waits_for_the_batch_in_flight),
    (no_seq_guard, a_rival_never_sets_the_cursor_back),
]


@pytest.mark.both_versions
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_the_batch_comes_through(items: Items, scenario: Scenario) -> None:
    fill = items()
    scenario(fill, fill.step.batch)


@pytest.mark.parametrize("scenario", WITHOUT_WAITING, ids=lambda one: one.__name__)
def test_the_batch_that_skips_comes_through(items: Items, scenario: Scenario) -> None:
    fill = items()
    scenario(fill, fill.step.skipping)


@pytest.mark.parametrize(("mutant", "scenario"), MUTANTS, ids=lambda one: one.__name__)
def test_a_mutant_is_caught_though_it_works_on_a_quiet_table(items: Items, mutant: Mutant, scenario: Scenario) -> None:
    """Their danger is that they look right: all fill their rows, and only one forgets its checkpoint."""
    fill = items()
    wrong = mutant(fill.step.batch)
    fill.lane().batch(4, wrong)
    assert fill.unfilled() == [5, 6, 7, 8, 9, 10]
    assert fill.saved()[1] == 1
    with pytest.raises(AssertionError):
        scenario(fill.again(), wrong)
