"""Runs ``osc demo`` as a person does, with a temporary folder of its own, and looks what is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OSC = (sys.executable, "-c", "from osc.cli.main import run; run()")


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Yield a folder for TMPDIR; short, for the server's socket lies in it, and as open as /tmp itself."""
    home = Path(tempfile.mkdtemp(prefix="osc-dt-", dir="/tmp"))
    home.chmod(0o1777)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def spawn(home: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start ``osc demo`` in a process group of its own."""
    return subprocess.Popen(
        [*OSC, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(home), **environment},
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], sign: str) -> None:
    """Return when a line on stderr holds ``sign``."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if sign in line:
            return
    raise AssertionError(f"it ended before {sign!r}: {seen}")


def left_behind(home: Path) -> list[str]:
    """Return the processes that have to do with ``home`` by command line, environment or directory, and its files."""
    return [*_processes(str(home)), *map(str, home.iterdir())]


def gone_within(home: Path, seconds: float) -> list[str]:
    """Return what is left after so many seconds at most."""
    deadline = time.monotonic() + seconds
    while (left := left_behind(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _processes(marker: str) -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                told = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                place = os.readlink(folder / "cwd")  # noqa: PTH115 - a deleted directory is no Path
            except OSError:
                continue
            if marker.encode() in told or marker in place:
                yield f"{folder.name}: {told[:200]!r} in {place}"
