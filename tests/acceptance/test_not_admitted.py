"""F23: a server that lets nobody in for the moment (53300, 57P03) is waited for, at the start and under way, and not for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.acceptance.bench import ROWS, Bench
from tests.acceptance.processes import ALONG_THE_KEY
from tests.fixtures.postgres import StartServer
from tests.fixtures.sweeping import sampled

FULL = "too many connections for role"


class Narrow:
    """A bench whose osc connects as a role that may have only so many connections; superusers are let in beyond a limit."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.role = bench, f"narrow_{conninfo_to_dict(bench.dsn)['dbname']}"
        bench.do(f"CREATE ROLE {self.role} LOGIN", f"GRANT postgres TO {self.role}")
        self.run = replace(bench, dsn=make_conninfo(bench.dsn, user=self.role))

    def admits(self, connections: int) -> None:
        """Let the role have so many connections; those that are open stay."""
        self.bench.do(f"ALTER ROLE {self.role} CONNECTION LIMIT {connections}")

    def loses_a_session(self) -> None:
        """End a session without which the run has to begin anew."""
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '%:control' AND usename = %s"
        assert self.bench.value(ended.replace("%:", "%%:"), self.role) == 1


@pytest.fixture
def narrow(bench: Bench) -> Iterator[Narrow]:
    made = Narrow(bench)
    yield made
    made.run.close()
    bench.do(f"REASSIGN OWNED BY {made.role} TO CURRENT_USER", f"DROP OWNED BY {made.role}", f"DROP ROLE {made.role}")


def test_a_run_begins_as_soon_as_a_connection_is_free(narrow: Narrow, undisturbed: Callable[..., Any]) -> None:
    narrow.admits(0)
    command = narrow.run.command("apply", to="contract")
    command.until_it_says(FULL)
    narrow.admits(-1)
    assert command.wait().exit_code == 0
    assert narrow.bench.end() == undisturbed()


@pytest.mark.parametrize("free", sampled([1, 0, 3], 1))
def test_a_run_that_has_to_connect_anew_goes_on_as_soon_as_connections_are_free(
    narrow: Narrow, undisturbed: Callable[..., Any], free: int
) -> None:
    """With some and not all of its sessions it may take the lead and get no further; the lead is its own all the same."""
    command = narrow.run.command("apply", "batch.after=sleep:0.3@2", to="contract")
    narrow.bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    narrow.admits(free)
    narrow.loses_a_session()
    command.until_it_says(FULL)
    narrow.bench.sleep(0.3)
    narrow.admits(-1)
    assert command.wait().exit_code == 0
    assert narrow.bench.end() == undisturbed()


def test_a_server_that_stays_full_is_told_and_nothing_was_begun(narrow: Narrow) -> None:
    narrow.admits(0)
    before = narrow.bench.rows_and_catalog()
    ended = narrow.run.command("apply", settings=replace(narrow.run.settings, admissions_max=3)).wait()
    assert (ended.exit_code, ended.answer["code"]) == (1, "OSC-A101")
    assert FULL in ended.message
    assert "connections" in ended.answer["hint"]
    assert narrow.bench.rows_and_catalog() == before
    assert narrow.bench.value("SELECT to_regnamespace('osc') IS NULL")


def test_a_server_that_stays_full_under_way_is_told_and_the_checkpoint_kept(
    narrow: Narrow, undisturbed: Callable[..., Any]
) -> None:
    narrow.run.settings = ALONG_THE_KEY
    command = narrow.run.command("apply", "batch.after=sleep:0.3@2", settings=narrow.run.impatient, to="contract")
    narrow.bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    narrow.admits(2)
    narrow.loses_a_session()
    ended = command.wait()
    assert (ended.exit_code, ended.answer["code"]) == (1, "OSC-A101")
    assert FULL in ended.message
    assert "osc advance" in ended.answer["hint"]
    assert narrow.bench.value("SELECT sum(rows_seen) FROM osc.slice") in range(100, ROWS)
    narrow.admits(-1)
    narrow.bench.lease_runs_out()
    assert narrow.run.run("advance").exit_code == 0
    assert narrow.bench.end() == undisturbed()


def test_a_server_that_restarts_is_waited_for(
    own_server: StartServer, tmp_path: Path, schema_dump: Callable[[str], str], undisturbed: Callable[..., Any]
) -> None:
    """A smart shutdown lets nobody in (57P03) until whoever is there has gone; then nothing listens, and then it is back."""
    server = own_server()
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table()
    last = psycopg.connect(server.dsn(), autocommit=True)
    os.kill(server.pid, signal.SIGTERM)
    command = bench.command("apply", to="contract")
    command.until_it_says("shutting down")
    last.close()
    server.stop("smart")  # returns once it is gone
    server.start_again()
    assert command.wait(60).exit_code == 0
    assert bench.end() == undisturbed()
    bench.close()
