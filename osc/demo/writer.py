"""An application of the demo: a pgbench process of its own at a fixed rate, retired without losing its last words."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from osc.demo.latency import LogTail, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOR_EVER_S = 86_400
_RETIRE_TIMEOUT_S = 15.0
_PROCESSED = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_ABORTED = re.compile(r"^pgbench: error: .*(?:aborted in |connection to server |could not ).*$", re.MULTILINE)
_ERRORS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Script:
    """What an application does: a pgbench script, how often, by how many clients, and the numbers it refers to."""

    name: str
    path: Path
    rate: int
    clients: int
    variables: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What an application has done in its life. A client that the server turned away counts as a failed transaction."""

    transactions: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.transactions + other.transactions, self.failed + other.failed, (*self.errors, *other.errors))


class Writer:
    """A running pgbench. It is in a process group of its own: Ctrl-C reaches only us, and we end it."""

    def __init__(self, pgbench: Path, dsn: str, script: Script, home: Path) -> None:
        self.script = script
        self.samples: list[Sample] = []
        self._out, self._err = home / f"{script.name}.out", home / f"{script.name}.err"
        prefix = home / script.name
        variables = [f"--define={name}={value}" for name, value in script.variables]
        command = [
            str(pgbench), "--no-vacuum", f"--file={script.path}", *variables, f"--client={script.clients}",
            f"--rate={script.rate}", f"--time={_FOR_EVER_S}", "--log", f"--log-prefix={prefix}", "--failures-detailed",
            dsn,
        ]  # fmt: skip
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=surroundings(), start_new_session=True
            )
        self._tail = LogTail(Path(f"{prefix}.{self._process.pid}"))

    @property
    def alive(self) -> bool:
        """Whether it still runs; it ends by itself only when all its clients were turned away."""
        return self._process.poll() is None

    def read(self) -> None:
        """Take over what was logged meanwhile."""
        self.samples += self._tail.read()

    async def retire(self) -> Tally:
        """Let it finish the transactions it is in, and return what it has done."""
        if self.alive:
            # What --time itself sends when the time is up. Any other signal would cost the summary and the log's end.
            self._process.send_signal(signal.SIGALRM)
        with anyio.move_on_after(_RETIRE_TIMEOUT_S):
            while self.alive:  # noqa: ASYNC110 - a process that we started without the loop tells nobody when it ends
                await anyio.sleep(0.02)
        stuck = self.alive
        self.kill()
        self.read()
        tally = self._tally()
        return tally + Tally(failed=1, errors=(f"{self.script.name} did not end by itself",)) if stuck else tally

    def kill(self) -> None:
        """End it now, and be sure that it is gone."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _tally(self) -> Tally:
        said, complained = self._out.read_text(errors="replace"), self._err.read_text(errors="replace")
        aborted = _ABORTED.findall(complained)
        if self._process.returncode not in (0, -signal.SIGALRM) and not aborted:
            # SIGALRM ends a pgbench that has not begun its first transaction; nothing is lost then.
            aborted = [complained.strip().rpartition("\n")[2] or f"pgbench ended with {self._process.returncode}"]
        failed = _number(_FAILED, said) + len(aborted)
        processed = _number(_PROCESSED, said) if _PROCESSED.search(said) else len(self.samples)
        return Tally(processed, failed, tuple(aborted[:_ERRORS_SHOWN]))


def surroundings() -> dict[str, str]:
    """Return our environment without PGHOST and the like, which would lead to other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of ``tallies``."""
    return sum(tallies, Tally())


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else 0
