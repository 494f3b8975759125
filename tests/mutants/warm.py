"""A process with everything imported that is not osc: each mutant's tests run in a fork of it, and none sees another's osc."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest
from _pytest.config import default_plugins

POLL_S = 0.01
IMPORTED = (
    "_hypothesis_pytestplugin", "anyio.pytest_plugin", "execnet.gateway_bootstrap", "hypothesis.stateful",
    "multiprocessing.forkserver", "platformdirs.unix", "psycopg.types.json", "psycopg_pool", "pydantic.json_schema",
    "pydantic.main", "pytest_benchmark.plugin", "pytest_timeout", "rich.console", "ruamel.yaml", "tenacity", "typer",
    "xdist.looponfail", *(f"_pytest.{name}" for name in default_plugins),
)  # fmt: skip
"""What most tests import, and what takes long."""


class WarmParent:
    """Runs pytest in forks of one process, one at a time."""

    def __enter__(self) -> Self:
        program = "from tests.mutants.warm import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()

    def run(
        self,
        arguments: list[str],
        *,
        path: list[Path],
        cwd: Path,
        environment: dict[str, str],
        said: Path,
        longest_s: float,
    ) -> int | None:
        """Run pytest with ``path`` before all others and return its exit code, or None if it took longer; ``said`` is its output."""
        request = {
            "arguments": arguments, "path": [str(one) for one in path], "cwd": str(cwd), "environment": environment,
            "said": str(said), "longest_s": longest_s,
        }  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer


def serve() -> None:
    """Answer each line of standard input, until there are no more; in a fork, run the tests and end."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert "osc" not in sys.modules, "a mutant would be tested with the osc that is there already"
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            sys.exit(pytest.main(request["arguments"]))
        sys.stdout.write(json.dumps(_code(child, request["longest_s"])) + "\n")
        sys.stdout.flush()


def _become(request: dict[str, Any]) -> None:
    """Be the process that a shell would have started."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.path[:0] = request["path"]
    sys.dont_write_bytecode = True
    for number, place, flags in ((0, os.devnull, os.O_RDONLY), (1, request["said"], os.O_WRONLY | os.O_CREAT)):
        opened = os.open(place, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)


def _code(child: int, longest_s: float) -> int | None:
    """Return how it ended; what has not in time is killed."""
    end = time.monotonic() + longest_s
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_S)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None
