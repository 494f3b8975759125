"""I25: a password never leaves, whatever goes wrong: not in what is said, the state, a session's name, or the server's log."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer
from tests.cli.conftest import ACCOUNTS, ID, PLAN, clean_environment, spawn
from tests.fixtures.postgres import Connect

__all__ = ["clean_environment"]

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


@pytest.mark.parametrize("what", WRONG)
def test_a_connection_that_fails_does_not_say_it(what: str) -> None:
    for number, command in enumerate(COMMANDS):
        if number > 0 and what != "nobody listens":
            break
        done = spawn(*command, env={"OSC_DATABASE_URL": WRONG[what], "OSC_DEBUG": "1" if number == 0 else ""})
        assert done.returncode in (1, 2), done
        assert CANARY not in done.stdout + done.stderr, (what, command)


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
    tables = conn.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'osc'::regnamespace AND relkind = 'r'"
    ).fetchall()
    for (table,) in tables:
        said += [row for (row,) in conn.execute(f"SELECT t::text FROM osc.{table} AS t".encode())]
    assert len(tables) > 8
    assert json.dumps(said).count(CANARY) == 0
    assert CANARY not in server.log_path.read_text()
