"""F14, F15: the server dies in the middle of every kind of step, there and back; nothing acknowledged is lost, and it goes on.

By default a third of the cases, others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer
from tests.acceptance.bench import Bench
from tests.acceptance.processes import ALONG_THE_KEY
from tests.fixtures.postgres import DEFAULT_VERSION, start_server
from tests.fixtures.sweeping import daily

PLACES = {
    "register.after": "apply", "transaction.before": "apply", "transaction.after": "apply", "batch.before@3": "apply",
    "batch.after@2": "apply", "verify.before": "apply", "build.before": "apply", "rename.after": "apply", "scan.after": "apply",
    "transaction.before@5": "apply", "drop_index.before": "apply", "undo.after@2": "rollback", "transaction.before@2": "rollback",
}  # fmt: skip
GIVEN_UP = (0, 1, 75)
"""The command goes on by itself, or says that the server went away and leaves the rest to the next."""


def stop_at_once(server: EmbeddedServer) -> None:
    server.crash()
    server.start_again()


def kill_a_stranger(server: EmbeddedServer) -> None:
    """Kill a backend that has nothing to do with it: the postmaster then ends every session and recovers."""
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        os.kill(conn.info.backend_pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                psycopg.connect(server.dsn()).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError("the server did not come back")


@pytest.fixture(scope="module")
def crashing() -> Iterator[EmbeddedServer]:
    """Give one server that this file's tests may crash, again and again."""
    server = start_server(DEFAULT_VERSION)
    yield server
    server.close()


CASES = [
    *((stop_at_once, place, verb) for place, verb in PLACES.items()),
    *(
        (kill_a_stranger, place, PLACES[place])
        for place in ("batch.before@3", "transaction.after", "build.before", "undo.after@2")
    ),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("dies", "place", "verb"), daily(CASES, 3), ids=lambda one: getattr(one, "__name__", str(one)))
def test_the_server_dies_and_the_change_comes_to_the_same_end(
    crashing: EmbeddedServer, tmp_path: Path, schema_dump: Callable[[str], str], place: str, verb: str,
    dies: Callable[[EmbeddedServer], None],
) -> None:  # fmt: skip
    name = re.sub(r"\W", "_", f"crash_{place}_{verb}_{dies.__name__}")
    with psycopg.connect(crashing.dsn(), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    bench = Bench(crashing.dsn(name), tmp_path, schema_dump, settings=ALONG_THE_KEY).fill_table(120)
    before = (bench.schema, bench.data)
    point, _, passage = place.partition("@")
    if verb == "rollback":
        assert bench.run("apply", to="switch").exit_code == 0
    command = bench.command(verb, f"{point}=stop@{passage or 1}", to="contract" if verb == "apply" else None)
    bench.until_stopped(command)
    bench.do("UPDATE items SET note = 'acknowledged' WHERE id = 7")
    dies(crashing)
    command.go_on()
    assert command.wait(90).exit_code in GIVEN_UP
    again = bench.run(verb, to="contract" if verb == "apply" else None)
    assert again.exit_code == 0, again
    assert bench.value("SELECT note FROM items WHERE id = 7") == "acknowledged"
    assert bench.leftovers() == []
    if verb == "rollback":
        assert bench.schema == before[0]
        assert [row for row in bench.data if "acknowledged" not in row[0]] == [
            row for row in before[1] if not row[0].startswith("(7,")
        ]
    else:
        assert bench.state == "done"
        assert bench.value("SELECT count(*) FROM items WHERE quantity = id % 7") == 120
    bench.close()
