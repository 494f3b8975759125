"""I25: a password never leaves, whatever goes wrong: not in what is said, the state, a session's name, or the server's log."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer
from tests.cli.conftest import ACCOUNTS, ID, PLAN, ROOT, Osc, clean_environment, command_line, offline, spawn
from tests.fixtures.postgres import Connect

__all__ = ["clean_environment", "offline"]

CANARY = "c4naryPassw0rd"
WRONG: dict[str, str] = {
    "nobody listens": f"postgresql://u:{CANARY}@127.0.0.1:1/db",
    "no such host": f"postgresql://u:{CANARY}@nowhere.invalid/db",
    "an @ in it": f"postgresql://u:{CANARY}@x@127.0.0.1/db",
    "a % in it": f"postgresql://u:{CANARY}%zz@127.0.0.1/db",
    "words": f"host=127.0.0.1 port=1 password={CANARY} dbname=db",
    "an unknown word": f"host=127.0.0.1 pasword={CANARY}",
    "an unclosed quote": f"host=127.0.0.1 password='{CANARY}",
    "another scheme": f"mysql://u:{CANARY}@127.0.0.1/db",
    "a port that is none": f"postgresql://u:{CANARY}@127.0.0.1:{CANARY}/db",
}
COMMANDS = (["status"], ["status", "--json"], ["apply", str(PLAN)], ["apply", str(PLAN), "--json"], ["advance", ID])


def test_a_connection_that_fails_does_not_say_it() -> None:
    for number, command in enumerate(COMMANDS):
        done = spawn(
            *command, env={"OSC_DATABASE_URL": WRONG["nobody listens"], "OSC_DEBUG": "1" if number == 0 else ""}
        )
        assert done.returncode in (1, 2), done
        assert CANARY not in done.stdout + done.stderr, command


@pytest.mark.parametrize("what", WRONG)
def test_a_connection_that_fails_in_any_way_does_not_say_it(
    offline: Osc, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSC_DATABASE_URL", WRONG[what])
    monkeypatch.setenv("OSC_DEBUG", "1")
    done = offline("status")
    assert done.code in (1, 2), done
    assert CANARY not in done.out + done.err


def test_a_password_that_is_wrong_does_not_say_it(own_server: object, connect: Connect) -> None:
    server: EmbeddedServer = own_server()  # type: ignore[operator]
    hba = server.datadir / "pg_hba.conf"
    hba.write_text("host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n")
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE u LOGIN PASSWORD 'right'; SELECT pg_reload_conf()"
        )
    dsn = f"host=127.0.0.1 port={server.port} user=u password={CANARY} dbname=postgres"
    done = spawn("status", env={"OSC_DATABASE_URL": dsn})
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr
    assert CANARY not in done.stdout + done.stderr + server.log_path.read_text()


def test_whole_runs_and_refusals_leave_no_trace_of_it(
    dsn: str, connect: Connect, server: EmbeddedServer, tmp_path: Path
) -> None:
    """The server trusts everybody here, so the password is carried and never needed."""
    conn = connect()
    conn.execute(ACCOUNTS.encode())
    conn.execute("INSERT INTO pgbench_accounts SELECT n, 1, n, '' FROM generate_series(1, 100) AS n")
    environment = {"OSC_DATABASE_URL": f"{dsn} password={CANARY}"}
    said = []
    bad = tmp_path / "00002_bad.yaml"
    bad.write_text(PLAN.read_text().replace("table: pgbench_accounts", "table: nothing_there"))
    for command in (
        ["apply", str(PLAN)], ["status", ID, "--json"], ["history", ID, "--json"], ["advance", ID, "--to", "switch", "--json"],
        ["apply", str(bad)], ["explain", str(PLAN)], ["pause", ID, "--reason", "look"], ["resume", ID], ["rollback", ID], ["verify", ID],
    ):  # fmt: skip
        done = spawn(*command, env=environment)
        said.append(done.stdout + done.stderr)
        names = conn.execute("SELECT application_name || query FROM pg_stat_activity").fetchall()
        said += [name for (name,) in names if name]
    rows = rows_of_the_state(conn)
    said += rows
    assert len(rows) > 8
    assert json.dumps(said).count(CANARY) == 0
    assert CANARY not in server.log_path.read_text()


UNREADABLE = "- change_column: {table: t, column: s, to: n, type: integer, up: s::integer, down: n::text}"
ROW_CANARY = "c4naryOfARow"


def test_values_of_rows_stay_where_they_are(dsn: str, connect: Connect, tmp_path: Path) -> None:
    """Rows that cannot be filled are named by their keys, whatever is asked; their values are nowhere."""
    conn = connect()
    conn.execute("CREATE TABLE t (id int PRIMARY KEY, s text, beside text)")
    conn.execute(
        "INSERT INTO t SELECT n, CASE WHEN n IN (7, 8) THEN 'a\"' || %s || '\"b' ELSE n::text END, %s FROM generate_series(1, 60) AS n",
        (ROW_CANARY, ROW_CANARY),
    )
    plan = tmp_path / "00001_numbers.yaml"
    plan.write_text(f"osc: 1\noperations:\n  {UNREADABLE}\n")
    said, codes = [], []
    for command in (
        ["apply", str(plan)], ["advance", plan.stem, "--json"], ["status", plan.stem, "--json"], ["history", plan.stem, "--json"],
        ["rollback", plan.stem],
    ):  # fmt: skip
        done = spawn(*command, env={"OSC_DATABASE_URL": dsn})
        codes.append(done.returncode)
        said.append(done.stdout + done.stderr)
        said += rows_of_the_state(conn)
    assert codes == [3, 3, 0, 0, 0]
    assert "(7)" in said[0]
    assert [text for text in said if ROW_CANARY in text] == []
    assert conn.execute("SELECT count(*) FROM t WHERE s LIKE %s", (f"%{ROW_CANARY}%",)).fetchall() == [(2,)]


def rows_of_the_state(conn: psycopg.Connection[Any]) -> list[str]:
    """Return every row of every table of schema osc as text."""
    tables = conn.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = to_regnamespace('osc')::oid AND relkind = 'r'"
    ).fetchall()
    return [row for (table,) in tables for (row,) in conn.execute(f"SELECT t::text FROM {table} AS t".encode())]


def test_while_a_command_works_its_sessions_do_not_say_the_password(dsn: str, connect: Connect) -> None:
    """Held up by a lock, it has all its sessions open; what they show of themselves and of their process is searched."""
    conn = connect()
    conn.execute(ACCOUNTS.encode())
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK TABLE pgbench_accounts IN ACCESS SHARE MODE")
        environ = {**os.environ, "OSC_DATABASE_URL": f"{dsn} password={CANARY}"}
        with subprocess.Popen(
            command_line("apply", str(PLAN)), cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True
        ) as command:
            try:
                shown = until_held_up(conn)
                words = Path(f"/proc/{command.pid}/cmdline").read_text()
            finally:
                command.terminate()
                assert command.stderr is not None
                told = command.stderr.read()
    assert len(shown) >= 4
    assert CANARY not in json.dumps(shown) + words + told


def until_held_up(conn: psycopg.Connection[Any]) -> list[str]:
    """Return what the server shows of osc's sessions once a step waits for a lock."""
    held = "SELECT count(*) FROM osc.step WHERE waiting = 'lock'"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if conn.execute("SELECT to_regclass('osc.step') IS NOT NULL").fetchall() == [(True,)] and conn.execute(
            held
        ).fetchall() != [(0,)]:
            return [
                row
                for (row,) in conn.execute(
                    "SELECT a::text FROM pg_stat_activity AS a WHERE application_name LIKE 'osc:%'"
                )
            ]
        time.sleep(0.02)
    raise AssertionError("the command was not held up")
