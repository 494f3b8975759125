"""What the tests of the command line share: running it in this process, in another one, and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from osc.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "plans" / "00001_pgbench_balance.yaml"
ID = PLAN.stem
ACCOUNTS = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"
NAMED = (
    "OSC_DATABASE_URL",
    "DATABASE_URL",
    "PGHOST",
    "PGDATABASE",
    "PGSERVICE",
    "PGHOSTADDR",
    "PGSSLMODE",
    "OSC_INSECURE",
    "OSC_REDACT",
    "NO_COLOR",
    "FORCE_COLOR",
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


class Osc(Protocol):
    """Runs a command."""

    def __call__(self, *arguments: str | Path) -> Done: ...


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of the machine choose a database or a colour."""
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def offline(capsys: pytest.CaptureFixture[str]) -> Osc:
    """Give a function that runs a command in this process, without a database."""

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def osc(offline: Osc, dsn: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Osc:
    """Give the same with a database that has a small pgbench_accounts."""
    monkeypatch.setenv("OSC_DATABASE_URL", dsn)
    with connect() as conn:
        conn.execute(ACCOUNTS)
        conn.execute("INSERT INTO pgbench_accounts SELECT n, 1, n, '' FROM generate_series(1, 100) AS n")
        conn.execute("ANALYZE pgbench_accounts")
    return offline


@pytest.fixture
def registered(osc: Osc) -> Osc:
    """Give the same with the example plan registered and nothing done yet."""
    assert osc("apply", PLAN, "--detach").code == 0
    return osc


def command_line(*arguments: str) -> list[str]:
    """Return the command that runs osc in a process of its own."""
    return [sys.executable, "-m", "osc", *arguments]


def spawn(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run osc in a process of its own, to its end."""
    environ = {**os.environ, **(env or {})}
    settings = {"capture_output": True, "text": True, "timeout": 60, "cwd": ROOT, "env": environ, **options}
    return subprocess.run(command_line(*arguments), check=False, **settings)


def in_terminal(*arguments: str, env: dict[str, str], until: Callable[[str], bool] | None = None) -> Done:
    """Run osc in a terminal of 100 columns; once ``until`` holds for what it wrote, type Ctrl-C."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, command_line(*arguments), {**os.environ, "TERM": "xterm", "COLUMNS": "100", **env})
    written, deadline, typed = "", time.monotonic() + 60, False
    try:
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    piece = os.read(terminal, 65_536)
                except OSError:  # the other end has closed it
                    break
                if not piece:
                    break
                written += piece.decode(errors="replace")
            if until is not None and not typed and until(written):
                os.write(terminal, b"\x03")
                typed = True
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(terminal)
    return Done(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), written, "")
