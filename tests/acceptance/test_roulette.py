"""S14, F40: an application that locks rows in any order is never the victim of a deadlock with the fill; the server's log says so."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.acceptance.bench import Bench
from tests.acceptance.processes import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from osc.pg.embedded import EmbeddedServer

ROWS = 240
PLAYERS = 3


class Player(threading.Thread):
    """Locks rows of its own in ever another order, holding them across the fill's way; it meets nobody but osc."""

    def __init__(self, dsn: str, number: int, end: threading.Event) -> None:
        super().__init__(daemon=True)
        self._dsn, self._number, self._end, self._chance = dsn, number, end, random.Random(number)
        self.rounds, self.longest_s = 0, 0.0
        self.error: Exception | None = None

    def run(self) -> None:
        mine = range(self._number + 1, ROWS + 1, PLAYERS)
        try:
            with psycopg.connect(self._dsn, application_name=f"app {self._number}") as conn:
                while not self._end.is_set():
                    for row in self._chance.sample(mine, 8):
                        begun = time.monotonic()
                        conn.execute("UPDATE items SET note = note || '.' WHERE id = %s", (row,))
                        self.longest_s = max(self.longest_s, time.monotonic() - begun)
                        time.sleep(self._chance.uniform(0.0, 0.01))
                    conn.commit()
                    self.rounds += 1
        except psycopg.Error as error:
            self.error = error


@pytest.mark.parametrize("walk", ["keyset", "blocks"])
@pytest.mark.parametrize("deadlock_timeout", ["200ms", "1s"])
def test_the_application_is_never_the_victim_and_waits_no_longer_than_a_batch(
    own_server: Callable[..., EmbeddedServer], tmp_path: Path, schema_dump: Callable[[str], str], deadlock_timeout: str,
    walk: str,
) -> None:  # fmt: skip
    server = own_server(deadlock_timeout=deadlock_timeout, log_lock_waits="on")
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table(ROWS)
    bench.settings = replace(
        QUICK, walk=walk, waves=4, lanes=2, slice_blocks_min=2, batch_rows_first=80, batch_rows_max=80
    )
    bench.plan_text += "backfill: {speed: 25%}\n"
    assert bench.run("apply", to="dual_write").exit_code == 0
    end = threading.Event()
    players = [Player(bench.dsn, number, end) for number in range(PLAYERS)]
    for player in players:
        player.start()
    try:
        assert bench.command("advance", to="backfill").wait(90).exit_code == 0
        assert bench.command("rollback", to="dual_write").wait(90).exit_code == 0  # and once more: other ways to meet
        assert bench.command("advance", to="backfill").wait(90).exit_code == 0
    finally:
        end.set()
        for player in players:
            player.join(10)
    assert [player.error for player in players] == [None] * PLAYERS
    assert all(player.rounds > 3 for player in players)
    log = server.log_path.read_text()
    victims = [line for line in log.splitlines() if "deadlock detected" in line]
    assert not victims, victims
    assert bench.look("SELECT id FROM items WHERE qty IS DISTINCT FROM quantity") == []
