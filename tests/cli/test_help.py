"""The help: every command has it, says what it is for and how it is typed, and the whole of it comes at once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from osc.cli.main import SECTIONS, Commands
from tests.cli.conftest import spawn

if TYPE_CHECKING:
    from tests.cli.conftest import Osc

COMMANDS = tuple(Commands())


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS) >= {
        "new", "lint", "explain", "schema", "apply", "advance", "wait", "ack", "rollback", "verify", "status", "pause",
        "resume", "set", "resolve", "history", "worker", "version",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(offline: Osc, name: str) -> None:
    done = offline(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Usage: osc {name}" in done.out
    assert "--json" in done.out
    assert f"osc {name}" in done.out.partition("Examples:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_sentence_and_a_place_in_the_help(name: str) -> None:
    module = Commands().module(name)
    first = (module.command.__doc__ or "").split("\n\n")[0]
    assert first.rstrip().endswith(".")
    assert module.FOR in SECTIONS
    assert module.EXAMPLES


def test_the_help_lists_every_command_and_every_exit_code(offline: Osc) -> None:
    out = offline("--help").out
    for word in (*COMMANDS, *SECTIONS.values(), *(f"{code}  " for code in (0, 1, 2, 3, 4, 5, 6, 75)), "129, 130, 143"):
        assert word in out


def test_osc_alone_shows_the_help_and_is_a_usage_error(offline: Osc) -> None:
    done = offline()
    assert (done.code, done.out) == (2, "")
    assert "Usage: osc" in done.err


def test_the_help_needs_nothing_heavy() -> None:
    program = """
import sys, osc.cli.main
try:
    osc.cli.main.run(["--help"])
except SystemExit:
    print([name for name in ("psycopg", "pydantic", "ruamel.yaml", "rich") if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_the_help_comes_at_once() -> None:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        assert spawn("--help").returncode == 0
        times.append(time.monotonic() - begun)
    assert min(times) < 1.0  # 0.25 s when the machine has nothing else to do
