"""The demo's database: a throw-away server, the accounts, the applications' scripts and the questions at the end."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import psycopg

from osc.demo.statements import statement, text
from osc.demo.writer import Script, surroundings
from osc.errors import Failed
from osc.pg.embedded import EmbeddedServer, EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from osc.demo.options import DemoOptions

PLAN_ID = "00001_pgbench_balance"
_ACCOUNTS_LINE = r"\set aid random(1, 100000 * :scale)"
_GENERATED = re.compile(r"(\d+) of \d+ tuples")
# As a server of this size would be set up; what keeps data safe (fsync, synchronous_commit) stays as it is.
_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB", "max_connections": "50"}


@asynccontextmanager
async def open_bank() -> AsyncIterator[Bank]:
    """Start the server, and remove it with all it made at the end, however the block ends.

    Raises Failed if there are no server programs, with the command that installs them.
    """
    started: list[EmbeddedServer] = []

    def start() -> None:
        started.append(EmbeddedServer.start(version=18, settings=_SETTINGS))

    try:
        try:
            await anyio.to_thread.run_sync(start)
        except EmbeddedServerError as error:
            raise Failed(f"the demo's PostgreSQL did not start: {error}") from error
        yield Bank(started[0], _make_home(started[0]))
    finally:
        with anyio.CancelScope(shield=True):
            for server in started:
                await anyio.to_thread.run_sync(server.close)


def _make_home(server: EmbeddedServer) -> Path:
    """Make a folder that goes with the server, even if this process is killed: the server's watchdog may delete it."""
    home = server.socket_dir / "demo"
    home.mkdir(mode=0o700)
    owner = server.socket_dir.stat()
    os.chown(home, owner.st_uid, owner.st_gid)
    return home


@dataclass(frozen=True)
class Bank:
    """A running server with a folder for the demo's own files."""

    server: EmbeddedServer
    home: Path

    @property
    def url(self) -> str:
        """Return the address for people and for osc: no quoting needed in a shell."""
        return f"postgresql://postgres@127.0.0.1:{self.server.port}/postgres"

    @property
    def pgbench(self) -> Path:
        """Return the program."""
        return self.server.bin("pgbench")

    def dsn(self, application: str) -> str:
        """Return the address by socket, under the name that an application shows."""
        return f"{self.server.dsn()} application_name={application}"

    @property
    def plan_path(self) -> Path:
        """Return where the plan is once it is written; the file's name is its id."""
        return self.home / f"{PLAN_ID}.yaml"

    def plan(self) -> Path:
        """Write the example plan under its own name and return its path."""
        self.plan_path.write_text(text("plan.yaml"), encoding="utf-8")
        return self.plan_path

    async def fill(self, options: DemoOptions, told: Callable[[int], None]) -> None:
        """Make the accounts, exactly ``options.rows``, and the new application's journal; tell how many there are."""
        await self._initialise(options.scale, told)
        async with self._connection() as conn:
            await conn.execute(statement("create_journal"))
            cut = await conn.execute(statement("delete_surplus"), {"rows": options.rows})
            if cut.rowcount:
                await conn.execute(statement("vacuum"))

    async def ask(self, name: str) -> int:
        """Return the number that the statement answers with."""
        async with self._connection() as conn:
            row = await (await conn.execute(statement(name))).fetchone()
            assert row is not None
            return int(row[0])

    def old(self, options: DemoOptions) -> Script:
        """Return the old application: pgbench's built-in script on its own accounts, everything else as built in.

        The range of accounts is the only line changed: the last hundredth of the accounts is the new application's.
        """
        shown = subprocess.run(
            [str(self.pgbench), "--show-script=tpcb-like"],
            capture_output=True,
            text=True,
            check=True,
            env=surroundings(),
        )
        script = shown.stderr or shown.stdout
        if _ACCOUNTS_LINE not in script:
            raise Failed("pgbench's built-in script is not the one the demo knows", facts={"script": script})
        lines = script.replace(_ACCOUNTS_LINE, r"\set aid random(1, :old_rows)")
        variables = (("scale", options.scale), ("old_rows", options.old_rows))
        return self._script("app-1", lines, options.old_rate, 4, variables)

    def new_sets(self, options: DemoOptions) -> Script:
        """Return the new application until the fill is verified: values, on accounts that the old one leaves alone."""
        variables = (("first_own", options.old_rows + 1), ("rows", options.rows))
        return self._script("app-2-sets", text("new_sets.pgbench"), options.new_rate, 2, variables)

    def new_adds(self, options: DemoOptions) -> Script:
        """Return the new application from then on: increments, on every account."""
        return self._script("app-2-adds", text("new_adds.pgbench"), options.new_rate, 2, (("rows", options.rows),))

    def _script(self, name: str, lines: str, rate: int, clients: int, variables: tuple[tuple[str, int], ...]) -> Script:
        path = self.home / f"{name}.pgbench"
        path.write_text(lines, encoding="utf-8")
        return Script(name, path, rate, clients, variables)

    async def _initialise(self, scale: int, told: Callable[[int], None]) -> None:
        command = [str(self.pgbench), "--initialize", f"--scale={scale}", self.dsn("pgbench")]
        said = ""
        async with await anyio.open_process(command, env=surroundings(), start_new_session=True) as process:
            assert process.stderr is not None
            async for chunk in process.stderr:
                said = (said + chunk.decode(errors="replace"))[-2000:]
                made = _GENERATED.findall(said)
                told(int(made[-1]) if made else 0)
        if process.returncode != 0:
            raise Failed(f"pgbench could not make the accounts: {said.strip().splitlines()[-1:]}")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        conn = await psycopg.AsyncConnection.connect(self.dsn("demo"), autocommit=True)
        try:
            yield conn
        finally:
            await conn.close()
