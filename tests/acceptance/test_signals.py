"""F04: a signal ends a command in order in every kind of step, there and back, and the same command then comes to its end.

By default an eighth of the places, others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.bench import Bench
from tests.cli.conftest import command_line
from tests.fixtures.sweeping import daily

ORDERLY = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
TODAY = daily(list(ORDERLY), 3)
FORWARD = ("register.after", "lease.after", "state.before", "transaction.before", "transaction.after", "start.before@4",
           "slices.after", "claim.before", "batch.before@3", "batch.after@3", "verdict.after", "verify.before", "build.before",
           "build.after", "rename.before", "scan.before", "scan.after", "transaction.before@5", "drop_index.before")  # fmt: skip
BACK = ("undo.before", "transaction.before", "transaction.after", "drop_index.after", "state.before@2")
PLACES = [("apply", place) for place in FORWARD] + [("rollback", place) for place in BACK]
CASES = [(verb, place, list(ORDERLY)[n // 3 % 3]) for n, (verb, place) in enumerate(PLACES)]
SESSIONS = "pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'osc:%'"
LOCK = "SELECT count(*) > 0 FROM osc.step WHERE waiting = 'lock'"
INDEX = f"SELECT count(*) > 0 FROM {SESSIONS} AND wait_event_type = 'Lock' AND query LIKE '%INDEX CONCURRENTLY%'"
WAITS = {
    "build": ("dual_write", "advance", "backfill", "build.before", INDEX),
    "switch": ("backfill", "advance", "switch", "transaction.before", LOCK),
    "index_drop": ("switch", "advance", "contract", "drop_index.before", INDEX),
    "rollback": ("switch", "rollback", None, "transaction.before", LOCK),
}
"""Where the change stands, what is asked of it, where a reader of the table comes in, and how one sees that it is waited for."""
SLOW = (
    "CREATE TABLE naps (seconds float)",
    "INSERT INTO naps VALUES (30)",
    (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(seconds) FROM public.naps; RETURN NEW; END'"
    ),
    "CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH ROW WHEN (NEW.id = 60) EXECUTE FUNCTION slow()",
)
SLEEPING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database() LIMIT 1"


@pytest.mark.parametrize(("verb", "place", "number"), daily(CASES, 16))
def test_a_signal_gives_the_lead_up_and_the_same_command_goes_on(
    bench: Bench, undisturbed: Callable[..., Any], verb: str, place: str, number: signal.Signals
) -> None:
    schema, data, to = bench.schema, bench.data, "contract" if verb == "apply" else None
    if verb == "rollback":
        assert bench.run("apply", to="switch").exit_code == 0
    point, _, passage = place.partition("@")
    command = bench.command(verb, f"{point}=stop@{passage or 1}", to=to)
    bench.until_stopped(command)
    command.signal(number)
    command.go_on()
    assert command.wait().exit_code == ORDERLY[number]
    assert bench.run(verb, to=to).exit_code == 0
    assert bench.value("SELECT count(*) FROM osc.event WHERE kind = 'takeover'") == 0, "the lead was not given up"
    assert bench.leftovers() == []
    if verb == "apply":
        assert bench.end() == undisturbed()
    else:
        assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")


@pytest.mark.parametrize(("wait", "number"), daily([(one, number) for number in ORDERLY for one in WAITS], 12))
def test_a_signal_ends_a_wait_on_the_server_and_leaves_no_session(
    bench: Bench, undisturbed: Callable[..., Any], wait: str, number: signal.Signals
) -> None:
    schema, data = bench.schema, bench.data
    begins, verb, to, point, waiting = WAITS[wait]
    assert bench.run("apply", to=begins).exit_code == 0
    command = bench.command(verb, f"{point}=stop", to=to, settings=bench.patient)
    bench.until_stopped(command)
    with bench.holding("SELECT count(*) FROM items", isolation="REPEATABLE READ") as holder:
        command.go_on()
        bench.until(waiting)
        command.signal(number)
        assert command.wait(10).exit_code == ORDERLY[number]
        bench.until(f"SELECT count(*) = 0 FROM {SESSIONS}")
        assert bench.value("SELECT count(*) FROM osc.lease WHERE owner IS NOT NULL") == 0, "the lead was not given up"
        holder.rollback()
    assert bench.run(verb, to=to).exit_code == 0
    assert bench.leftovers() == []
    if verb == "advance":
        assert bench.end() == undisturbed(to)
    else:
        assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")


@pytest.mark.parametrize("number", TODAY)
def test_a_signal_ends_the_batch_at_hand_on_the_server(bench: Bench, number: signal.Signals) -> None:
    bench.do(*SLOW)
    command = bench.command("apply", to="backfill")
    bench.until(SLEEPING)
    command.signal(number)
    assert command.wait(10).exit_code == ORDERLY[number]
    assert bench.look(SLEEPING) == []
    bench.do("UPDATE naps SET seconds = 0")
    assert bench.run("advance", to="backfill").exit_code == 0
    assert bench.value("SELECT count(*) FROM items WHERE quantity IS DISTINCT FROM qty") == 0


@pytest.mark.parametrize("number", TODAY)
def test_a_second_signal_ends_it_at_once_and_leaves_what_can_go_on(bench: Bench, number: signal.Signals) -> None:
    """The server does not answer, so the first signal's orderly end would take seconds."""
    bench.do(*SLOW)
    env = {**os.environ, "OSC_DATABASE_URL": bench.dsn}
    command = subprocess.Popen(
        command_line("apply", str(bench.plan), "--to", "switch"), env=env, stderr=subprocess.PIPE, text=True
    )
    assert command.stderr is not None
    backend = bench.until(SLEEPING)
    os.kill(backend, signal.SIGSTOP)
    try:
        command.send_signal(number)
        said = ""
        while "a second signal" not in said:
            said += command.stderr.readline()
        command.send_signal(number)
        _, rest = command.communicate(timeout=30)
    finally:
        os.kill(backend, signal.SIGCONT)
    assert command.returncode in (ORDERLY[number], -number)
    assert "Traceback" not in said + rest
    bench.do("UPDATE naps SET seconds = 0")
    bench.lease_runs_out()
    assert bench.run("apply", to="switch").exit_code == 0
    assert bench.value("SELECT count(*) FROM items WHERE quantity IS DISTINCT FROM qty") == 0
