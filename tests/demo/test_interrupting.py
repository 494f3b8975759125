"""Ctrl-C at any moment leaves no process and no file behind; neither does SIGTERM, nor even kill -9.

By default at half of the moments, at others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.demo.command import gone_within, left_behind, spawn, temporary_home, wait_for
from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MOMENTS = {
    "server": "start PostgreSQL: begins",
    "accounts": "fill pgbench_accounts: begins",
    "before": "the old application alone: begins",
    "fill": "backfill: Fill",
    "index": "backfill: Build index",
    "both": "old and new side by side: begins",
    "contract": "contract: begins",
}
SIZE = ("--rows", "300000", "--seconds", "5")


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as home:
        yield home


@pytest.mark.parametrize("moment", daily(list(MOMENTS), 2))
def test_ctrl_c_leaves_nothing_behind(home: Path, moment: str) -> None:
    process = spawn(home, *SIZE)
    wait_for(process, MOMENTS[moment])
    time.sleep(0.1)
    assert left_behind(home)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert left_behind(home) == []


@pytest.mark.parametrize("moment", daily(["server", "fill"], 2))
def test_sigterm_leaves_nothing_behind(home: Path, moment: str) -> None:
    process = spawn(home, *SIZE)
    wait_for(process, MOMENTS[moment])
    time.sleep(0.1)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert left_behind(home) == []


@pytest.mark.parametrize("moment", daily(["server", "accounts", "fill"], 2))
def test_even_a_kill_leaves_nothing_for_long(home: Path, moment: str) -> None:
    process = spawn(home, *SIZE)
    wait_for(process, MOMENTS[moment])
    process.kill()
    process.communicate(timeout=30)
    assert gone_within(home, 30) == []
