"""Private PostgreSQL clusters for the demo, for rehearsals and for tests: started, crashed, thrown away.

Apart from the connections, because nothing here is needed where a database is given.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from psycopg.conninfo import make_conninfo

from osc.pg.embedded_binaries import EmbeddedServerError, Installation, find_installation, spawn_as

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

__all__ = ["EmbeddedServer", "EmbeddedServerError"]

StopMode = Literal["fast", "immediate"]

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 60
_START_ATTEMPTS_MAX = 5
# Below the range from which the kernel takes the ports of outgoing connections, so that a port is
# still ours when the server comes back after a crash.
_PORTS = range(20_000, 32_000)
# A path of a unix socket may have 107 bytes; ".s.PGSQL.nnnnn" is a part of it.
_SOCKET_DIR_BYTES_MAX = 80
_LOG_LINES_SHOWN = 15
_SETTINGS_FILE = "osc.conf"

# Waits until the pipe from our process closes, which even kill -9 cannot prevent, then cleans up.
# Stops twice: a server that was just being started has no pid file for the first one to find.
_WATCHDOG = """
read -r nothing
for attempt in 1 2; do
    "$1" stop --silent --pgdata="$2" --mode=immediate
    sleep 1
done
rm -rf -- "$3"
"""


class EmbeddedServer:
    """A private cluster with its server, reachable by unix socket and on 127.0.0.1.

    Any local user may log in as superuser (trust): never put real data into it. Used as a context
    manager it is closed at the end; it is closed as well when the process ends, however it ends.
    Without a `datadir` of your own the data is removed on closing.
    """

    def __init__(self, installation: Installation, datadir: Path | None, settings: Mapping[str, str]) -> None:
        self._installation = installation
        self._settings = dict(settings)
        self._process = os.getpid()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self.port = 0
        # Holds the socket, the log and, if it is to be thrown away, the data.
        self.socket_dir = _make_home(installation)
        self.log_path = self.socket_dir / "server.log"
        self.owns_data = datadir is None
        self.datadir = self.socket_dir / "data" if datadir is None else datadir.resolve()

    @classmethod
    def start(
        cls,
        datadir: Path | None = None,
        *,
        version: int = 18,
        settings: Mapping[str, str] | None = None,
        bin_dir: Path | None = None,
    ) -> Self:
        """Create a cluster, or take the one in `datadir`, and start its server.

        `version` is 16 or 18; with `bin_dir`, a directory of PostgreSQL programs, it is whatever they are.
        `settings` are lines of postgresql.conf; ALTER SYSTEM overrides them.

        Raises:
            EmbeddedServerError: no programs, no user to run them as, or the server does not start.
        """
        server = cls(find_installation(version, bin_dir), datadir, settings or {})
        with server._closed_on_error():
            server._watch()
            if not (server.datadir / "PG_VERSION").exists():
                server._initialise()
            server._launch_on_free_port()
        return server

    def basebackup(self, datadir: Path | None = None, *, settings: Mapping[str, str] | None = None) -> Self:
        """Copy the cluster and start the copy as a streaming standby, with our settings plus `settings`.

        It does not wait until the standby has caught up.
        """
        standby = type(self)(self._installation, datadir, {**self._settings, **(settings or {})})
        with standby._closed_on_error():
            standby._watch()
            standby._prepare_datadir()
            primary = make_conninfo(self.dsn(), application_name=standby.socket_dir.name)
            target = ("--pgdata", str(standby.datadir), "--dbname", primary)
            how = ("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
            self._installation.run("pg_basebackup", *target, *how)
            standby._launch_on_free_port()
        return standby

    @property
    def version(self) -> int:
        """The major version, 18 for "18.4"."""
        return self._installation.version

    @property
    def running(self) -> bool:
        """Whether the server process is there, ready or not."""
        try:
            self._pg_ctl("status")
        except EmbeddedServerError:
            return False
        return True

    @property
    def pid(self) -> int:
        """The process id of the postmaster; only while it runs."""
        return int((self.datadir / "postmaster.pid").read_text().splitlines()[0])

    def bin(self, name: str) -> Path:
        """Return the path of `psql`, `pg_dump`, ... of this version."""
        return self._installation.program(name)

    def dsn(self, dbname: str = "postgres", *, host: str | None = None) -> str:
        """Return a conninfo string for the superuser: by socket, or by `host`, which can be 127.0.0.1."""
        return make_conninfo(host=host or str(self.socket_dir), port=self.port, user="postgres", dbname=dbname)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server if it runs; the data stays. What is not stopped in time is stopped immediately."""
        if not self.running:
            return
        try:
            self._pg_ctl("stop", f"--mode={mode}", "--wait", f"--timeout={_STOP_TIMEOUT_S}")
        except EmbeddedServerError:
            if self.running:
                self._pg_ctl("stop", "--mode=immediate", "--wait", f"--timeout={_STOP_TIMEOUT_S}")

    def crash(self) -> None:
        """Stop the server without a checkpoint, as a crash would: the next start runs recovery."""
        self.stop("immediate")

    def start_again(self) -> None:
        """Start the stopped server, on the same port."""
        if not self.running:
            self._launch()

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it again, on the same port."""
        self.stop(mode)
        self.start_again()

    def close(self) -> None:
        """Stop the server and remove its socket, its log and, without a `datadir` of your own, its data."""
        atexit.unregister(self._close_at_exit)
        self.stop("immediate" if self.owns_data else "fast")
        if self._watchdog is not None:
            self._watchdog.terminate()
            self._watchdog.communicate()
            self._watchdog = None
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def delete(self) -> None:
        """Close, and remove the data even if it lies in a `datadir` of your own."""
        self.close()
        shutil.rmtree(self.datadir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedServer(version={self.version}, port={self.port}, datadir={str(self.datadir)!r})"

    def _initialise(self) -> None:
        self._prepare_datadir()
        arguments = ["--pgdata", str(self.datadir), "--username=postgres", "--auth=trust", "--encoding=UTF8"]
        if self.version >= 17:
            # PostgreSQL's own C.UTF-8, the same on systems that have no such locale.
            arguments += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            arguments += ["--locale=C.UTF-8"]
        if self._settings.get("fsync") == "off":
            arguments += ["--no-sync"]
        self._installation.run("initdb", *arguments)

    def _prepare_datadir(self) -> None:
        if self.owns_data:
            return
        self.datadir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(self.datadir.iterdir()):
            raise EmbeddedServerError(
                f"{self.datadir} is neither empty nor a PostgreSQL data directory, and nothing in it was "
                "changed. Name another directory."
            )
        if self._installation.account is not None:
            os.chown(self.datadir, self._installation.account.uid, self._installation.account.gid)

    def _watch(self) -> None:
        atexit.register(self._close_at_exit)
        places = (str(self.bin("pg_ctl")), str(self.datadir), str(self.socket_dir))
        command = ["/bin/sh", "-c", _WATCHDOG, "osc-watchdog", *places]
        self._watchdog = spawn_as(self._installation.account, command)

    def _close_at_exit(self) -> None:
        # A forked child inherits this hook, but not the server.
        if os.getpid() == self._process:
            self.close()

    def _launch_on_free_port(self) -> None:
        for attempts_left in reversed(range(_START_ATTEMPTS_MAX)):
            self.port = _free_port()
            try:
                return self._launch()
            except EmbeddedServerError as error:
                # Between our look and the server's bind somebody else may have taken the port.
                if "Address already in use" not in str(error) or attempts_left == 0:
                    raise

    def _launch(self) -> None:
        self._write_settings()
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        try:
            wait = ("--wait", f"--timeout={_START_TIMEOUT_S}")
            self._pg_ctl("start", *wait, f"--log={self.log_path}")
        except EmbeddedServerError as error:
            self.stop("immediate")
            log = self._log_since(log_start)
            raise EmbeddedServerError(
                f"PostgreSQL {self.version} in {self.datadir} did not start. {error}\n"
                f"The last lines of its log say why:\n{log or '(no log)'}"
            ) from error

    def _write_settings(self) -> None:
        where = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir),
        }
        lines = [_setting(name, value) for name, value in {**self._settings, **where}.items()]
        self._installation.write(self.datadir / _SETTINGS_FILE, "".join(lines))
        include = f"include = '{_SETTINGS_FILE}'\n"
        main = (self.datadir / "postgresql.conf").read_text()
        if include not in main:
            self._installation.write(self.datadir / "postgresql.conf", f"{main}\n{include}")

    def _pg_ctl(self, verb: str, *arguments: str) -> None:
        self._installation.run("pg_ctl", verb, "--silent", "--pgdata", str(self.datadir), *arguments)

    def _log_since(self, start: int) -> str:
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_bytes()[start:].decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES_SHOWN:])

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def _make_home(installation: Installation) -> Path:
    # Short enough for the socket, and readable by the account alone.
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _SOCKET_DIR_BYTES_MAX - len("/osc-pg-12345678"):
        parent = "/tmp"
    home = Path(tempfile.mkdtemp(prefix="osc-pg-", dir=parent))
    if installation.account is not None:
        os.chown(home, installation.account.uid, installation.account.gid)
    return home


def _free_port() -> int:
    for _ in range(len(_PORTS)):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedServerError(f"No port between {_PORTS.start} and {_PORTS.stop} is free on 127.0.0.1.")


def _setting(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{escaped}'\n"
