"""Rows that cannot be filled, rows that others hold, rows out of step: each is named, and nothing is complete over them.

Whole changes through the verbs, as a pipeline would run them.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from osc.errors import Refused
from osc.pg.target import Target
from osc.program import Phase
from osc.settings import Settings
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.fixtures.postgres import Connect

ID = "00001_amounts"
PLAN = """\
osc: 1
title: Amounts become numbers
owner: stock-team
operations:
  - change_column: {table: items, column: v, to: w, type: int, up: "v::int", down: "w::text"}
"""
QUICK = Settings(
    poll_s=0.02, revisit_pause_s=0.02, revisit_pause_max_s=0.05, lock_retry_pause_first_s=0.02, batch_rows_first=64,
    batch_rows_max=64, verify_fresh_s=0.0, walk="keyset",
)  # fmt: skip
"""Small batches along the key, short waits, and no verification is fresh enough for a switch."""
ROWS = 400


class Shop:
    """Table ``items`` whose amounts are texts, and the change that makes them numbers."""

    def __init__(self, dsn: str, place: Path, connect: Connect) -> None:
        self.conn = connect()
        self.session = Session(Target.resolve(dsn, environ={}), settings=QUICK, who="test")
        self.plan = place / f"{ID}.yaml"
        self.plan.write_text(PLAN)
        self.do("CREATE TABLE items (id int PRIMARY KEY, v text)")
        self.do(f"INSERT INTO items SELECT n, n::text FROM generate_series(1, {ROWS}) AS n")

    def do(self, *statements: str) -> None:
        """Run statements of the application."""
        for statement in statements:
            self.conn.execute(statement.encode())

    def behind_the_trigger(self, statement: str) -> None:
        """Run a statement that the sync trigger passes by."""
        self.do("SET osc.writer = 'backfill'", statement, "RESET osc.writer")

    def rows(self, sql: str) -> list[Any]:
        """Return what a query answers; one column as a list of values."""
        found = self.conn.execute(sql.encode()).fetchall()
        return [row[0] if len(row) == 1 else row for row in found]

    def apply(self) -> None:
        """Bring the change to the end of backfill."""
        anyio.run(partial(apply, self.session, self.plan))

    def advance(self, to: Phase = Phase.BACKFILL) -> None:
        """Go on with it."""
        anyio.run(partial(advance, self.session, ID, to=to))

    def refused(self, to: Phase | None = None) -> Refused:
        """Return the refusal that the change comes to."""
        with pytest.raises(Refused) as caught:
            self.advance(to) if to else self.apply()
        assert caught.value.exit_code == 3
        return caught.value

    @property
    def state(self) -> str:
        return str(self.rows("SELECT state FROM osc.change")[0])

    @property
    def poison(self) -> list[Any]:
        return self.rows("SELECT key[1]::int, sqlstate FROM osc.poison ORDER BY 1")

    @property
    def unfilled(self) -> list[int]:
        return self.rows("SELECT id FROM items WHERE w IS NULL ORDER BY id")


@pytest.fixture
def shop(dsn: str, tmp_path: Path, connect: Connect) -> Shop:
    """Give a shop."""
    return Shop(dsn, tmp_path, connect)


BAD = {1: "none", 64: "1e3", 65: "99999999999", 200: "twelve", 400: ""}
"""The first key and the last, the last of a batch and the first of the next, and one in the middle."""


def test_rows_that_cannot_be_filled_are_named_and_all_others_are_filled(shop: Shop) -> None:
    for key, value in BAD.items():
        shop.do(f"UPDATE items SET v = '{value}' WHERE id = {key}")
    refusal = shop.refused()
    assert shop.poison == [(1, "22P02"), (64, "22P02"), (65, "22003"), (200, "22P02"), (400, "22P02")]
    assert shop.unfilled == list(BAD)
    assert (refusal.facts["rows"], refusal.facts["keys"]) == (5, [[str(key)] for key in BAD])
    assert all(f"({key})" in refusal.message for key in BAD)
    assert shop.state == "backfilling"


def test_a_change_goes_on_once_its_poison_rows_are_mended(shop: Shop) -> None:
    for key, value in BAD.items():
        shop.do(f"UPDATE items SET v = '{value}' WHERE id = {key}")
    shop.refused()
    shop.do("UPDATE items SET v = '7' WHERE id = 1", "DELETE FROM items WHERE id = 64")
    shop.do("UPDATE items SET v = NULL WHERE id = 65", "UPDATE items SET id = 401, v = '8' WHERE id = 400")
    assert "(200)" in shop.refused(Phase.BACKFILL).message
    assert shop.poison == [(200, "22P02")]
    shop.behind_the_trigger("UPDATE items SET v = '9' WHERE id = 200")
    shop.advance()
    assert shop.poison == []
    assert shop.rows("SELECT w FROM items WHERE id IN (1, 65, 200, 401) ORDER BY id") == [7, None, 9, 8]
    assert shop.state == "backfilled"


def test_rows_out_of_step_keep_the_backfill_open_and_are_named(shop: Shop) -> None:
    """NEW wrote both columns, and they contradict each other: no side may be thrown away."""
    anyio.run(partial(apply, shop.session, shop.plan, to=Phase.DUAL_WRITE))
    shop.do("UPDATE items SET v = '5', w = 99 WHERE id = 7", "UPDATE items SET v = '5', w = 5 WHERE id = 8")
    refusal = shop.refused(Phase.BACKFILL)
    assert (refusal.facts["mismatches"], refusal.facts["keys"]) == (1, [["7"]])
    assert shop.rows("SELECT v, w FROM items WHERE id = 7") == [("5", 99)]


def test_rows_that_verification_finds_unfilled_are_sent_back(shop: Shop) -> None:
    anyio.run(partial(apply, shop.session, shop.plan, to=Phase.DUAL_WRITE))
    shop.do("UPDATE items SET v = '5', w = 99 WHERE id = 7")
    shop.refused(Phase.BACKFILL)
    shop.do("UPDATE items SET v = '6' WHERE id = 7")
    shop.behind_the_trigger("UPDATE items SET w = NULL WHERE id IN (1, 150, 400)")
    shop.behind_the_trigger("INSERT INTO items VALUES (0, '10'), (401, '11')")
    shop.advance()
    assert shop.unfilled == []
    assert shop.rows("SELECT w FROM items WHERE id IN (0, 7, 401) ORDER BY id") == [10, 6, 11]


def test_a_switch_is_refused_over_a_row_out_of_step_and_goes_on_once_it_is_mended(shop: Shop) -> None:
    shop.apply()
    shop.do("UPDATE items SET v = '5', w = 99 WHERE id = 7")
    assert "(7)" in shop.refused(Phase.SWITCH).message
    assert "done" not in shop.rows("SELECT state FROM osc.step WHERE phase = 'switch'")
    shop.do("UPDATE items SET v = '6' WHERE id = 7")
    shop.advance(Phase.SWITCH)
    assert shop.state == "switched"


def test_nothing_is_complete_while_a_row_is_locked_and_all_is_once_it_is_free(shop: Shop, connect: Connect) -> None:
    holder = connect()
    anyio.run(partial(apply, shop.session, shop.plan, to=Phase.DUAL_WRITE))
    with ThreadPoolExecutor(1) as pool:
        with holder.transaction(force_rollback=True):
            holder.execute("SELECT FROM items WHERE id = 77 FOR UPDATE")
            running = pool.submit(shop.advance)
            await_waiting(shop.conn)
            assert not running.done()
            assert shop.unfilled == [77]
            assert shop.state == "backfilling"
        running.result(20)
    assert shop.unfilled == []
    assert shop.rows("SELECT count(*) FROM osc.skipped") == [0]


def test_a_row_that_turns_to_poison_while_its_window_waits_is_named(shop: Shop, connect: Connect) -> None:
    holder = connect()
    anyio.run(partial(apply, shop.session, shop.plan, to=Phase.DUAL_WRITE))
    with ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute("UPDATE items SET v = 'none' WHERE id = 77")
            running = pool.submit(shop.refused, Phase.BACKFILL)
            await_waiting(shop.conn)
        assert "(77)" in running.result(20).message
    assert shop.poison == [(77, "22P02")]
    assert shop.unfilled == [77]
    shop.do("UPDATE items SET v = '7' WHERE id = 77")
    shop.advance()
    assert shop.state == "backfilled"


def await_waiting(conn: psycopg.Connection[Any]) -> None:
    """Return once the change says that it waits for rows."""
    end = time.monotonic() + 20
    while not conn.execute("SELECT FROM osc.step WHERE waiting = 'rows' AND detail ->> 'rows_locked' = '1'").fetchall():
        assert time.monotonic() < end, conn.execute("SELECT step, state, waiting, detail FROM osc.step").fetchall()
        time.sleep(0.01)
