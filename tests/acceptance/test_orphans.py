"""F03: a process is killed while its statement runs on; who comes next ends or awaits it, and nothing is done twice.

The server does not notice by itself that the process is gone: client_connection_check_interval is off in these stories, and
the lease has run out when the successor starts, so nothing but the successor's own care stands between the two.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.acceptance.bench import PLAN, ROWS, Bench
from tests.acceptance.processes import Command
from tests.fixtures.sweeping import daily

RUN = (
    "{sql: INSERT INTO public.journal SELECT 1 FROM pg_sleep(0.6),"
    " undo: INSERT INTO public.journal SELECT -1 FROM pg_sleep(0.6)}"
)
LOG = (
    "CREATE TABLE written (id bigint)",
    (
        "CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.written VALUES (NEW.id);"
        " IF NEW.id = 130 THEN PERFORM pg_sleep(0.2); END IF; RETURN NULL; END'"
    ),
    "CREATE TRIGGER log_it AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION log_it()",
)
PHASES = ("expand", "backfill", "switch", "contract")
INDEXES = (("CREATE INDEX", "dual_write", "backfill"), ("DROP INDEX", "switch", "contract"))
SLEEPS = "wait_event = 'PgSleep'"


@pytest.fixture
def unwatched(bench: Bench) -> Bench:
    """Give a bench whose server does not look whether a client is still there."""
    bench.settings = replace(bench.patient, client_check_interval_ms=0)
    return bench


@contextmanager
def orphaned(bench: Bench, command: Command, condition: str) -> Iterator[int]:
    """Kill the process while a statement of its runs, and hold the statement in the middle as long as the block lasts."""
    backend: int = bench.until(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'osc:%'"
        " AND state = 'active' AND " + condition
    )
    os.kill(backend, signal.SIGSTOP)
    try:
        command.kill()
        command.wait()
        bench.lease_runs_out()
        yield backend
    finally:
        os.kill(backend, signal.SIGCONT)


def until_it_is_the_successors_turn(bench: Bench, successor: Command) -> None:
    """Let the successor take the lead, or wait for the batch that still holds it; then give it time to do something wrong."""
    bench.until(
        "SELECT EXISTS (SELECT FROM osc.lease AS l JOIN osc.executor AS e ON e.owner = l.owner WHERE e.pid = %s)"
        " OR EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND query LIKE '%%take_lease%%')", successor.pid,
    )  # fmt: skip
    bench.sleep(0.3)


def is_gone(bench: Bench, backend: int) -> bool:
    return bench.look("SELECT pid FROM pg_stat_activity WHERE pid = %s", backend) == []


def test_a_batch_of_the_dead_and_one_of_the_living_never_write_the_same_row(unwatched: Bench) -> None:
    bench = unwatched
    bench.plan_text = PLAN + "backfill: {triggers: fire}\n"
    bench.do(*LOG)
    with orphaned(bench, bench.command("apply", to="backfill"), SLEEPS):
        walked = bench.look("SELECT sum(batches) FROM osc.slice")
        successor = bench.command("advance", to="backfill")
        until_it_is_the_successors_turn(bench, successor)
        assert bench.look("SELECT sum(batches) FROM osc.slice") == walked, "it did not wait for the batch of the dead"
    assert successor.wait().exit_code == 0
    assert bench.look("SELECT id FROM written GROUP BY id HAVING count(*) > 1") == []
    assert bench.value("SELECT count(*) FROM written") == ROWS
    assert bench.value("SELECT count(*) FROM items WHERE quantity IS DISTINCT FROM qty") == 0


@pytest.mark.parametrize("phase", daily(PHASES, 4))
def test_a_statement_of_the_author_that_outlives_its_process_is_done_once(unwatched: Bench, phase: str) -> None:
    bench = unwatched
    bench.plan_text = PLAN + f"{phase}: {{run: [{RUN}]}}\n"
    bench.do("CREATE TABLE journal (n int)")
    with orphaned(bench, bench.command("apply", to=phase), SLEEPS) as backend:
        successor = bench.command("advance", to=phase)
        until_it_is_the_successors_turn(bench, successor)
    assert successor.wait().exit_code == 0
    assert is_gone(bench, backend)
    assert bench.look("SELECT n FROM journal") == [(1,)]


def test_an_undo_that_outlives_its_process_is_done_once(unwatched: Bench) -> None:
    bench = unwatched
    bench.plan_text = PLAN + f"expand: {{run: [{RUN}]}}\n"
    bench.do("CREATE TABLE journal (n int)")
    assert bench.run("apply", to="expand").exit_code == 0
    with orphaned(bench, bench.command("rollback"), SLEEPS) as backend:
        successor = bench.command("rollback")
        until_it_is_the_successors_turn(bench, successor)
    assert successor.wait().exit_code == 0
    assert is_gone(bench, backend)
    assert bench.look("SELECT n FROM journal ORDER BY n") == [(-1,), (1,)]


@pytest.mark.parametrize(("statement", "begins", "to"), daily(INDEXES, 2))
def test_of_two_processes_at_one_index_the_dead_ones_statement_ends_first(
    unwatched: Bench, undisturbed: Callable[..., Any], statement: str, begins: str, to: str
) -> None:
    bench, point = unwatched, "build.before" if to == "backfill" else "drop_index.before"
    assert bench.run("apply", to=begins).exit_code == 0
    command = bench.command("advance", f"{point}=stop", to=to)
    bench.until_stopped(command)
    with bench.holding("SELECT 1 FROM items WHERE id = 1", isolation="REPEATABLE READ") as snapshot:
        command.go_on()
        with orphaned(bench, command, f"query LIKE '{statement} CONCURRENTLY%' AND wait_event_type = 'Lock'"):
            before = bench.look("SELECT indexrelid, indisvalid FROM pg_index ORDER BY 1")
            successor = bench.command("advance", to=to)
            until_it_is_the_successors_turn(bench, successor)
            assert bench.look("SELECT indexrelid, indisvalid FROM pg_index ORDER BY 1") == before, "it did not wait"
        snapshot.rollback()
    assert successor.wait().exit_code == 0
    assert bench.leftovers() == []
    assert bench.end() == undisturbed(to)
