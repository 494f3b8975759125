"""F29 to F31, I10, I11: whole runs beside sessions that hold the table; no strong lock of ours is ever queued for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.acceptance.bench import Bench

LONGEST_MS = 500
"""Settings.lock_timeout_max_ms; what a poll sees is less than a poll longer."""
SLACK_MS = 150


class Queue(threading.Thread):
    """Looks again and again how long a strong lock of ours has been waited for."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self._dsn, self._end, self.longest_ms = dsn, threading.Event(), 0.0

    def run(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as conn:
            while not self._end.is_set():
                row = conn.execute(
                    "SELECT max(extract(epoch FROM clock_timestamp() - l.waitstart)) * 1000 FROM pg_locks AS l"
                    " JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted AND l.locktype = 'relation'"
                    " AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')"
                    " AND a.application_name LIKE 'osc:%' AND a.datname = current_database()"
                ).fetchone()
                self.longest_ms = max(self.longest_ms, float(row[0] or 0) if row else 0.0)
                time.sleep(0.005)

    def end(self) -> float:
        self._end.set()
        self.join(10)
        return self.longest_ms


HOLDERS = {
    "a long reader": ("SELECT count(*) FROM items", "idle in transaction"),
    "an idle writer": ("UPDATE items SET note = note WHERE id = 1", "idle in transaction"),
    "DDL of others": ("LOCK TABLE items IN SHARE UPDATE EXCLUSIVE MODE", "idle in transaction"),
}


@pytest.mark.either_version
@pytest.mark.parametrize("holder", HOLDERS)
def test_behind_a_holder_the_step_says_who_it_is_and_nothing_queues(
    bench: Bench, undisturbed: Callable[..., Any], holder: str
) -> None:
    statement, state = HOLDERS[holder]
    queue = Queue(bench.dsn)
    queue.start()
    with bench.holding(statement, application="report") as conn:
        command = bench.command("apply", to="backfill")
        detail = bench.until("SELECT detail FROM osc.step WHERE waiting = 'lock'")
        bench.sleep(0.5)  # the application goes on meanwhile
        bench.do(
            "SET statement_timeout = 700", "UPDATE items SET note = note WHERE id = 2", "SELECT count(*) FROM items"
        )
        (blocker,) = [one for one in detail["blockers"] if one["application"] == "report"]
        assert (blocker["pid"], blocker["state"]) == (conn.info.backend_pid, state)
        assert statement in blocker["query"]
        assert blocker["age_s"] > 0
        conn.rollback()
    assert command.wait().exit_code == 0
    assert queue.end() <= LONGEST_MS + SLACK_MS
    assert bench.end() == undisturbed("backfill")


def test_a_switch_waits_for_its_lock_and_the_wish_to_go_back_ends_the_wait(bench: Bench) -> None:
    schema = bench.schema
    with bench.holding("SELECT count(*) FROM items"):
        command = bench.command("apply", to="expand")
        bench.until("SELECT count(*) > 0 FROM osc.step WHERE waiting = 'lock'")
        assert bench.run("rollback").exit_code == 0
        assert command.wait().exit_code == 5
    assert bench.schema == schema


@pytest.mark.slow
@pytest.mark.either_version
def test_autovacuum_gives_way(own_server: Callable[..., Any], tmp_path: Any, schema_dump: Callable[[str], str]) -> None:
    """A worker that vacuums the table yields to who waits longer than deadlock_timeout (rationale.md 19)."""
    server = own_server(autovacuum_naptime="1", autovacuum_vacuum_cost_delay="100ms", autovacuum_vacuum_cost_limit="1")
    bench = Bench(server.dsn(), tmp_path, schema_dump).fill_table(20_000)
    bench.do("ALTER TABLE items SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)",
             "UPDATE items SET note = note || '.'")  # fmt: skip
    bench.until("SELECT count(*) > 0 FROM pg_stat_progress_vacuum WHERE relid = 'items'::regclass", within_s=40)
    queue = Queue(bench.dsn)
    queue.start()
    assert bench.run("apply", to="expand").exit_code == 0
    assert queue.end() <= LONGEST_MS + SLACK_MS
    bench.close()
