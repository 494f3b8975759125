"""F14, F16, F17, F20: sessions that end and servers that crash; the command goes on by itself where it was."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osc.pg.embedded import EmbeddedServer
from tests.acceptance.bench import ROWS, Bench
from tests.acceptance.processes import ALONG_THE_KEY
from tests.fixtures.sweeping import daily

SESSIONS = ("control", "heartbeat", "observer", "work", "fill")
AGAIN = [
    (one, f"pg_{strike}_backend")
    for strike in ("terminate", "cancel")
    for one in ("control", "heartbeat", "work", "fill")
]
"""A fourth of these by default, others each day: each exchange of each session is struck in test_struck_sessions.py as well."""


def terminate(bench: Bench, purpose: str, function: str = "pg_terminate_backend") -> int:
    """End the newest session of that purpose; return how many there were."""
    return int(
        bench.value(
            f"SELECT count({function}(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE '%%:' || %s", purpose,
        )
    )  # fmt: skip


@pytest.mark.parametrize("purpose", SESSIONS)
def test_a_session_that_is_terminated_in_the_fill_is_opened_anew(
    bench: Bench, undisturbed: Callable[..., Any], purpose: str
) -> None:
    command = bench.command("apply", "batch.after=sleep:0.5@2", to="switch")
    bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    assert terminate(bench, purpose) == 1
    assert command.wait().exit_code == 0
    assert bench.value("SELECT epoch FROM osc.lease") > 1 or purpose in ("observer", "work")
    assert bench.end() == undisturbed("switch")


@pytest.mark.parametrize(("purpose", "function"), daily(AGAIN, 4))
def test_terminated_or_cancelled_again_and_again_it_still_arrives(
    bench: Bench, undisturbed: Callable[..., Any], purpose: str, function: str
) -> None:
    command = bench.command("apply", to="switch")
    for _ in range(8):
        bench.sleep(0.05)
        if bench.value("SELECT to_regnamespace('osc') IS NOT NULL"):
            terminate(bench, purpose, function)
    assert command.wait().exit_code == 0
    assert bench.end() == undisturbed("switch")


def test_a_transaction_whose_reply_was_lost_is_done_once(bench: Bench, undisturbed: Callable[..., Any]) -> None:
    """The session ends while the switch's transaction runs; the step's row tells whether it was committed."""
    with bench.holding("SELECT count(*) FROM items") as holder:
        command = bench.command("apply", to="switch", settings=bench.patient)
        bench.until("SELECT count(*) > 0 FROM osc.step WHERE waiting = 'lock'")
        for _ in range(20):
            bench.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO $osc$%' AND state = 'active'"
                     " AND datname = current_database()")  # fmt: skip
            bench.sleep(0.01)
        holder.rollback()
        assert command.wait().exit_code == 0
    assert bench.end() == undisturbed("switch")


@pytest.mark.either_version
@pytest.mark.parametrize("where", ["fill", "build"])
def test_after_a_crash_of_the_server_the_command_goes_on(
    own_server: Callable[..., EmbeddedServer], tmp_path: Path, schema_dump: Callable[[str], str],
    undisturbed: Callable[..., Any], where: str,
) -> None:  # fmt: skip
    server = own_server()
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table()
    with bench.holding("SELECT 1", isolation="REPEATABLE READ") if where == "build" else bench.nothing():
        command = bench.command("apply", "batch.after=sleep:0.5@3" if where == "fill" else "", to="switch")
        if where == "fill":
            bench.until("SELECT sum(batches) >= 3 FROM osc.slice")
        else:
            bench.until("SELECT count(*) > 0 FROM pg_index WHERE NOT indisvalid")
        server.crash()
        server.start_again()
    try:
        assert command.wait(60).exit_code == 0
        assert bench.leftovers() == []
        assert bench.end() == undisturbed("switch")
    finally:
        bench.close()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_command_whose_server_stays_away_says_so_and_keeps_the_checkpoint(
    own_server: Callable[..., EmbeddedServer], tmp_path: Path, schema_dump: Callable[[str], str]
) -> None:
    server = own_server()
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table()
    bench.settings = ALONG_THE_KEY
    bench.settings = bench.impatient
    command = bench.command("apply", "batch.after=sleep:2@3", to="switch")
    bench.until("SELECT sum(batches) >= 3 FROM osc.slice")
    time.sleep(1)  # batches commit asynchronously: the last 0.6 s of rows and of their checkpoint may go, together
    server.crash()
    ended = command.wait(60)
    assert (ended.exit_code, ended.answer["code"]) == (1, "OSC-A101")
    server.start_again()
    assert bench.value("SELECT sum(rows_seen) FROM osc.slice") in range(100, ROWS)
