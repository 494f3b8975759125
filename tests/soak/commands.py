"""osc as a black box: commands of the installed wheel, repeated like a pipeline repeats them until they are done."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.report import Report

SAYS_NO = 3
AGAIN = {75, 129, 130, 143, -1, -2, -9, -15}
"""Try again later, a signal, killed (negative: before it could say anything): what a pipeline repeats."""
UNREACHABLE = ("OSC-A101", "OSC-T110")
TRIES_MAX = 80
LONGEST_S = 240


@dataclass
class Osc:
    """Runs commands of the installed osc; ``running`` are the processes that a nemesis may pick from."""

    program: Path
    dsn: str
    place: Path
    report: Report
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        environment = {**os.environ, "OSC_DATABASE_URL": self.dsn, "PYTHONSAFEPATH": "1"}
        environment.pop("PYTHONPATH", None)
        process = subprocess.Popen([str(self.program), *arguments], env=environment, cwd=self.place, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        self.running.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for a command and return its exit status and what it said."""
        try:
            said = process.communicate(timeout=LONGEST_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0] + "\n(hung)"
            self.report.broken(f"{process.args} did not end within {LONGEST_S} s: {said[-500:]}")
        self.said.append(said)
        self.running.remove(process)
        self.report.commands[f"exit {process.returncode}"] += 1
        if "Traceback" in said:
            self.report.broken(f"a traceback reached the user: {said[-1500:]}")
        return process.returncode, said

    def until_done(self, *arguments: str, mend: Callable[[], None] | None = None) -> bool:
        """Run a command again and again until it is done; note every other end than one that is to be repeated.

        When it says no to rows of the table, ``mend`` does what a person would.
        """
        for _ in range(TRIES_MAX):
            code, said = self.finish(self.start(*arguments))
            if code == 0:
                return True
            if code == SAYS_NO and mend is not None:
                mend()
                continue
            if code not in AGAIN and not (code == 1 and any(one in said for one in UNREACHABLE)):
                self.report.broken(f"osc {' '.join(arguments)} ended with {code}: {said[-800:]}")
                return False
            time.sleep(0.2)
        self.report.broken(f"osc {' '.join(arguments)} was not done after {TRIES_MAX} tries")
        return False

    def signal(self, number: signal.Signals) -> subprocess.Popen[str] | None:
        """Send a signal to the oldest running command; return it, or None if none runs."""
        for process in list(self.running):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                    return process
        return None

    def peak_mb(self) -> float:
        """Return the largest resident size that a running command has had."""
        sizes = [0.0]
        for process in list(self.running):
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = Path(f"/proc/{process.pid}/status").read_text()
                sizes.append(int(text.partition("VmHWM:")[2].split()[0]) / 1024)
        return max(sizes)
