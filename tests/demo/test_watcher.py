"""The longest wait that osc caused: never told shorter than it was."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from osc.demo.statements import statement
from osc.demo.watcher import Stays, Waiting, Watcher
from osc.errors import Failed

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect

HOLD_S = 0.3


def waiting(pid: int, waits_s: float | None = None) -> Waiting:
    return Waiting(pid, waits_s, "app", "osc:x:fill")


def longest_of(*looks: tuple[float, list[Waiting]]) -> float:
    stays = Stays()
    for now, behind in looks:
        stays.look(now, behind)
    return round(stays.longest.ms, 6)


def test_a_stay_counts_from_the_look_before_to_the_look_after() -> None:
    assert longest_of((0.00, []), (0.02, [waiting(1)]), (0.04, [waiting(1)]), (0.06, [])) == 60


def test_a_stay_begins_no_earlier_than_the_wait_itself() -> None:
    assert longest_of((0.00, []), (0.02, [waiting(1, waits_s=0.005)]), (0.04, [])) == 25


def test_a_wait_that_began_behind_somebody_else_counts_only_behind_osc() -> None:
    assert longest_of((0.00, []), (0.02, [waiting(1, waits_s=9.0)]), (0.04, [])) == 40


def test_two_stays_of_one_session_are_not_added() -> None:
    assert longest_of((0.00, []), (0.02, [waiting(1)]), (0.04, []), (0.06, [waiting(1)]), (0.08, [])) == 40


def test_a_stay_that_lasts_is_told_while_it_lasts() -> None:
    assert longest_of((0.0, []), (0.02, [waiting(1)]), (0.5, [waiting(1)])) == 500


def hold_lock(connect: Connect, application: str) -> None:
    """Let ``application`` hold a row for 300 ms while another session wants it."""
    holder, waiter = connect(application_name=application), connect(application_name="app")
    holder.execute("BEGIN")
    holder.execute("UPDATE t SET a = 1")
    blocked = threading.Thread(target=waiter.execute, args=("UPDATE t SET a = 2",))
    blocked.start()
    deadline = time.monotonic() + 10
    while not holder.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s",
                             (waiter.info.backend_pid,)).fetchone()[0]:  # type: ignore[index]  # fmt: skip
        assert time.monotonic() < deadline
    time.sleep(HOLD_S)
    holder.execute("COMMIT")
    blocked.join()


@pytest.mark.both_versions
def test_a_lock_that_osc_holds_for_300_ms_is_told_as_at_least_300(dsn: str, connect: Connect) -> None:
    connect().execute("CREATE TABLE t AS SELECT 0 AS a")
    watcher = Watcher(dsn)
    watcher.start()
    hold_lock(connect, "osc:test:x")
    longest = watcher.stopped().longest
    assert 1000 * HOLD_S <= longest.ms < 5_000
    assert (longest.who, longest.behind) == ("app", "osc:test:x")


def test_what_others_make_each_other_wait_is_not_told(dsn: str, connect: Connect) -> None:
    connect().execute("CREATE TABLE t AS SELECT 0 AS a")
    watcher = Watcher(dsn)
    watcher.start()
    hold_lock(connect, "another app")
    assert watcher.stopped().longest.ms == 0


def test_a_look_takes_no_lock(connect: Connect) -> None:
    looker = connect()
    looker.execute("BEGIN")
    looker.execute(statement("behind_osc"))  # a lock would now be held to the end of the transaction
    held = looker.execute(
        "SELECT relation::regclass::text FROM pg_lock_status() WHERE locktype <> 'virtualxid'"
    ).fetchall()
    assert held == []


def test_a_watcher_that_could_not_look_says_so_instead_of_zero(dsn: str, connect: Connect) -> None:
    watcher = Watcher(dsn)
    watcher.start()
    connect().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'demo watcher' AND datname = current_database()"
    )
    time.sleep(0.2)
    with pytest.raises(Failed, match="could not watch"):
        watcher.stopped()
