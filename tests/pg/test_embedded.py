"""The embedded clusters: they start, crash, recover and replicate, and nothing of them stays behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer, EmbeddedServerError
from osc.pg.embedded_binaries import find_installation, readable_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect, StartServer

as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


def eventually(true: Callable[[], bool], *, within_s: float = 20) -> bool:
    """Say whether it becomes true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()


def alive(pid: int) -> bool:
    """Say whether a process with this id exists (a dead one that nobody has waited for does not count)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.both_versions
def test_server_answers_by_socket_and_by_tcp(own_server: StartServer, postgres_version: int) -> None:
    server = own_server()
    assert server.version == postgres_version
    for dsn in (server.dsn(), server.dsn(host="127.0.0.1")):
        with psycopg.connect(dsn) as connection:
            assert connection.info.server_version // 10_000 == postgres_version
            row = connection.execute("SELECT current_user, current_setting('wal_level')").fetchone()
            assert row == ("postgres", "logical")
            encoding = connection.execute(
                "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'template0'"
            ).fetchone()
            assert encoding == ("UTF8",)


def test_close_leaves_no_process_and_no_file(own_server: StartServer) -> None:
    server = own_server()
    pid = server.pid
    assert alive(pid)
    server.close()
    server.close()
    assert not alive(pid)
    assert not server.running
    assert not server.socket_dir.exists()
    assert not server.datadir.exists()


def test_stop_twice_and_start_again_keep_port_and_data(own_server: StartServer) -> None:
    server = own_server()
    port = server.port
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    server.stop()
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.dsn())
    server.start_again()
    assert server.port == port
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_crash_runs_recovery_and_keeps_what_was_committed(own_server: StartServer) -> None:
    server = own_server()
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    server.crash()
    server.start_again()
    with psycopg.connect(server.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    assert "automatic recovery" in server.log_path.read_text()


def test_standby_follows(own_server: StartServer) -> None:
    primary = own_server()
    with primary.basebackup() as standby:
        with psycopg.connect(primary.dsn()) as connection:
            connection.execute("CREATE TABLE followed (id int)")
        with psycopg.connect(standby.dsn(), autocommit=True) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
            lookup = "SELECT to_regclass('followed') IS NOT NULL"
            assert eventually(lambda: connection.execute(lookup).fetchone() == (True,))
        assert standby.port != primary.port


@as_root_only
def test_server_does_not_run_as_root(server: EmbeddedServer) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert server.socket_dir.stat().st_uid != 0
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700


def test_server_is_removed_when_its_parent_is_killed() -> None:
    code = (
        "import time; from osc.pg.embedded import EmbeddedServer\n"
        "server = EmbeddedServer.start(settings={'fsync': 'off'})\n"
        "print(server.pid, server.socket_dir, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, home = parent.stdout.readline().split()
        assert alive(int(pid))
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not alive(int(pid)))
    assert eventually(lambda: not Path(home).exists())


def test_server_is_removed_when_its_parent_ends_without_closing() -> None:
    code = (
        "from osc.pg.embedded import EmbeddedServer\n"
        "server = EmbeddedServer.start(settings={'fsync': 'off'})\n"
        "print(server.pid, server.socket_dir)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    pid, home = done.stdout.split()
    assert not alive(int(pid))
    assert not Path(home).exists()


def test_named_datadir_outlives_the_server(own_server: StartServer) -> None:
    home = own_server().socket_dir  # a place that the server's account may enter, whoever runs the tests
    datadir = home / "mine"
    with EmbeddedServer.start(datadir, settings={"fsync": "off"}) as first:
        psycopg.connect(first.dsn(), autocommit=True).execute("CREATE TABLE kept (id int)").connection.close()
    second = EmbeddedServer.start(datadir, settings={"fsync": "off"})
    with psycopg.connect(second.dsn()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    second.close()
    assert (datadir / "PG_VERSION").exists()
    second.delete()
    assert not datadir.exists()


def test_datadir_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear diary")
    with pytest.raises(EmbeddedServerError, match="neither empty nor"):
        EmbeddedServer.start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_failed_start_shows_the_servers_log() -> None:
    with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
        EmbeddedServer.start(settings={"no_such_setting": "on", "fsync": "off"})


def test_version_that_the_wheel_lacks_is_refused() -> None:
    with pytest.raises(EmbeddedServerError, match="which has 16 and 18"):
        EmbeddedServer.start(version=15)


def test_copy_is_readable_for_all_and_made_once(tmp_path: Path) -> None:
    package = tmp_path / "wheel"
    (package / "install" / "bin").mkdir(parents=True)
    (tmp_path / "wheel.libs").mkdir()
    (package / "install" / "bin" / "postgres").write_text("program")
    (package / "install" / "bin" / "postgres").chmod(0o700)

    copy = readable_copy(package, "install", tmp_path / "cache")
    assert stat.S_IMODE((copy / "bin" / "postgres").stat().st_mode) == 0o755
    assert (tmp_path / "cache" / "wheel.libs").is_dir()
    (package / "install" / "bin" / "postgres").write_text("another")
    assert readable_copy(package, "install", tmp_path / "cache") == copy
    assert (copy / "bin" / "postgres").read_text() == "program"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "wheel", "wheel.libs"]


def test_copy_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="not run"):
        readable_copy(tmp_path / "wheel", "install", tmp_path / "cache")


@as_root_only
def test_programs_of_a_private_wheel_run_from_their_copy(tmp_path: Path) -> None:
    installation = find_installation(18)
    install = installation.bin_dir.parent
    copy = readable_copy(install.parent, install.name, tmp_path / "cache")
    said = subprocess.run([copy / "bin" / "psql", "--version"], check=True, capture_output=True, text=True)
    assert installation.full_version in said.stdout


@pytest.mark.both_versions
def test_each_test_has_a_database_of_its_own(connect: Connect, dsn: str, schema_dump: Callable[[str], str]) -> None:
    empty = schema_dump(dsn)
    connect().execute("CREATE SCHEMA osc CREATE TABLE osc.state (id int)")
    assert schema_dump(dsn) == empty
    connect().execute("CREATE TABLE mine (id int)")
    assert "CREATE TABLE public.mine" in schema_dump(dsn)
    assert "restrict" not in empty


@pytest.mark.anyio
async def test_async_connections_run_on_asyncio(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT 1")
        assert await cursor.fetchone() == (1,)
