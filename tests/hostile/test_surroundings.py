"""F41, F74, F91, F94: event triggers, privileges and row security taken or given in the middle, and a real pooler."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import Drift, Failed, Refused
from osc.pg.session import connect as open_session
from osc.pg.target import Target
from osc.program import Phase
from osc.settings import DEFAULTS
from osc.verbs.session import Session
from tests.operations.lab import QUICK
from tests.sync.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.operations.lab import Lab

T = "CREATE TABLE t (id integer PRIMARY KEY, a integer); CREATE INDEX t_a ON t (a);"
T += "INSERT INTO t SELECT n, n FROM generate_series(1, 60) AS n;"
CHANGE = "- change_column: {table: t, column: a, to: n, type: bigint}"
VETO = """
CREATE FUNCTION veto() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
    IF TG_TAG = '{}' THEN RAISE EXCEPTION 'no {} on Fridays' USING HINT = 'ask the dba', ERRCODE = '{}'; END IF;
END$$; CREATE EVENT TRIGGER veto ON ddl_command_start EXECUTE FUNCTION veto()"""
VETOED = {
    "CREATE TRIGGER": (Phase.EXPAND, Phase.DUAL_WRITE, "P0001"),
    "CREATE INDEX": (Phase.DUAL_WRITE, Phase.BACKFILL, "P0001"),
    "CREATE FUNCTION": (Phase.BACKFILL, Phase.SWITCH, "42501"),
    "DROP TRIGGER": (Phase.SWITCH, Phase.CONTRACT, "P0001"),
}


@pytest.mark.parametrize("command", VETOED)
def test_a_veto_of_an_event_trigger_is_told_word_for_word_and_once(lab: Lab, command: str) -> None:
    before, vetoed, sqlstate = VETOED[command]
    lab.run(T)
    lab.write(CHANGE)
    lab.apply(before)
    lab.run(VETO.format(command, command, sqlstate))
    with pytest.raises(Failed, match=f"no {command} on Fridays") as failed:
        lab.apply(vetoed)
    assert failed.value.exit_code == 1
    assert failed.value.hint == "ask the dba"
    assert lab.value("SELECT count(*) FROM osc.event WHERE kind = 'problem' AND data::text LIKE '%Fridays%'") <= 1
    lab.run("DROP EVENT TRIGGER veto")
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n = id") == 60


def test_what_an_event_trigger_makes_of_our_column_is_drift(lab: Lab) -> None:
    lab.run(
        T
        + """CREATE FUNCTION helps() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'n' AND NOT atthasdef) THEN
            ALTER TABLE public.t ALTER n SET DEFAULT 0;
        END IF; END$$;
        CREATE EVENT TRIGGER helps ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION helps()"""
    )
    lab.write(CHANGE)
    lab.apply(Phase.EXPAND)
    with pytest.raises(Drift, match="column n: expected default none, found default 0"):
        lab.apply(Phase.DUAL_WRITE)
    lab.run("DROP EVENT TRIGGER helps; ALTER TABLE t ALTER n DROP DEFAULT")
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n = id") == 60


@pytest.fixture
def deployer(lab: Lab) -> Iterator[str]:
    """Let the changes of ``lab`` be made by a role that is no superuser and owns the table through another; give its name."""
    database = conninfo_to_dict(lab.dsn)["dbname"]
    owner, deployer = f"owner_{database}", f"deployer_{database}"
    lab.run(f"""{T} CREATE ROLE {owner}; CREATE ROLE {deployer} LOGIN; GRANT {owner} TO {deployer};
        ALTER TABLE t OWNER TO {owner}; GRANT CREATE ON SCHEMA public TO {owner}, {deployer};
        GRANT CREATE ON DATABASE {database} TO {deployer}""")
    lab.session = Session(Target.resolve(make_conninfo(lab.dsn, user=deployer)), settings=QUICK, who="test")
    yield deployer
    lab.run(
        f"DROP TABLE t; DROP SCHEMA IF EXISTS osc CASCADE; DROP OWNED BY {owner}, {deployer}; DROP ROLE {owner}, {deployer}"
    )


def test_a_right_taken_away_is_told_with_what_to_grant_and_the_change_goes_on_after_it(lab: Lab, deployer: str) -> None:
    lab.write(CHANGE)
    lab.apply(Phase.DUAL_WRITE)
    owner = deployer.replace("deployer", "owner")
    lab.run(f"REVOKE {owner} FROM {deployer}")
    with pytest.raises(Drift, match=f"GRANT {owner} TO"):
        lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(n) FROM t") == 0
    lab.run(f"GRANT {owner} TO {deployer}; REVOKE CREATE ON SCHEMA public FROM {owner}, {deployer}")
    with pytest.raises(Failed, match="permission denied for schema public") as failed:
        lab.apply(Phase.BACKFILL)
    assert "GRANT" in failed.value.hint
    lab.run(f"GRANT CREATE ON SCHEMA public TO {owner}, {deployer}")
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n = id") == 60


def test_row_security_that_hides_rows_from_osc_is_an_error_and_never_silence(lab: Lab, deployer: str) -> None:
    """The role sees no row; an UPDATE of none would look like success (F74)."""
    lab.write(CHANGE)
    lab.apply(Phase.DUAL_WRITE)
    lab.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises((Drift, Failed)) as stopped:
        lab.apply(Phase.BACKFILL)
    assert "row" in stopped.value.message
    assert lab.value("SELECT count(n) FROM t") == 0
    lab.run("ALTER TABLE t DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n = id") == 60


def test_a_table_with_row_security_is_refused_for_its_owner_too(lab: Lab, deployer: str) -> None:
    lab.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id > 9)")
    lab.write(CHANGE)
    assert any(line.startswith("C132") for line in lab.refusal())


CONFIG = """\
[databases]
* = host=127.0.0.1 port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
ignore_startup_parameters = extra_float_digits,options
logfile = {place}/log
pidfile = {place}/pid
"""
POOLERS = ["middleman", *(["pgbouncer"] if shutil.which("pgbouncer") else [])]


@contextmanager
def pgbouncer(dsn: str, mode: str, size: int = 4) -> Iterator[str]:
    """Run the real one in front of the server of ``dsn``; give the conninfo that leads through it."""
    place = Path(tempfile.mkdtemp(prefix="osc-pgbouncer-"))
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    config = place / "pgbouncer.ini"
    config.write_text(
        CONFIG.format(port=conninfo_to_dict(dsn)["port"], listen=listen, place=place, mode=mode, size=size)
    )
    user = ["-u", "nobody"] if os.getuid() == 0 else []  # it refuses to be root
    place.chmod(0o777)
    process = subprocess.Popen(["pgbouncer", *user, str(config)], stderr=subprocess.DEVNULL)
    try:
        through = make_conninfo(dsn, host="127.0.0.1", port=listen)
        until(lambda: answers(through), within_s=20)
        yield through
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(place)


def answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


async def open_and_close(dsn: str) -> None:
    conn = await open_session(Target.resolve(dsn), purpose="test", settings=DEFAULTS)
    await conn.close()


@pytest.mark.parametrize("pooler", [one for one in POOLERS if one == "pgbouncer"])
def test_pgbouncer_in_transaction_mode_is_refused_and_left_clean(dsn: str, pooler: str) -> None:
    """F91; tests/pg/test_session.py asks the same of a stand-in that is always there."""
    with pgbouncer(dsn, "transaction") as through:
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                anyio.run(open_and_close, through)
            assert refused.value.findings[0].code == "C101"
        for _ in range(4):
            with psycopg.connect(through, autocommit=True) as stranger:
                assert stranger.execute("SHOW search_path").fetchall() == [('"$user", public',)]
                assert stranger.execute("SHOW statement_timeout").fetchall() == [("0",)]
    with pgbouncer(dsn, "session") as through:
        anyio.run(open_and_close, through)


@pytest.mark.parametrize("pooler", [one for one in POOLERS if one == "pgbouncer"])
def test_a_fill_in_waves_goes_through_pgbouncer_in_session_mode(lab: Lab, pooler: str) -> None:
    """What the session has prepared, and what is sent ahead of an answer, are its own there."""
    lab.run("CREATE TABLE t (id bigint PRIMARY KEY, s int, pad text)")
    lab.run("INSERT INTO t SELECT i, i, repeat('x', 80) FROM generate_series(1, 20000) AS i; ANALYZE t")
    lab.write("- change_column: {table: t, column: s, to: n, type: bigint, up: s::bigint, down: n::int}")
    with pgbouncer(lab.dsn, "session", size=20) as through:
        lab.session = Session(Target.resolve(through), settings=QUICK, who="test")
        lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0
    assert lab.value("SELECT sum(rows_hot) FROM osc.slice") > 1_000
