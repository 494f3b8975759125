"""Signals end a command in order, and a deadline is a deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from osc.cli.running import governed
from osc.errors import Conflict, Interrupted
from tests.cli.conftest import ID, PLAN, ROOT, command_line

if TYPE_CHECKING:
    from tests.cli.conftest import Osc
    from tests.fixtures.postgres import Connect


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_work_and_is_told(number: int, code: int) -> None:
    cleaned_up = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep(30)
        finally:
            cleaned_up.append(True)

    with pytest.raises(Interrupted) as interrupted:
        governed(work, quiet=True)
    assert (interrupted.value.exit_code, cleaned_up) == (code, [True])


def test_a_terminal_that_goes_away_does_not_end_what_nohup_protects() -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        await anyio.sleep(0.05)
        return "done"

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert governed(work, quiet=True) == "done"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_that_is_done_as_the_signal_comes_is_done() -> None:
    async def work() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "done"

    assert governed(work, quiet=True) == "done"


def test_an_error_comes_out_as_it_is() -> None:
    async def work() -> None:
        raise Conflict("no")

    with pytest.raises(Conflict):
        governed(work)


def test_sigterm_ends_a_worker_with_143(osc: Osc, dsn: str, connect: Connect) -> None:
    env = {**os.environ, "OSC_DATABASE_URL": dsn}
    worker = subprocess.Popen(command_line("worker"), env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert osc("apply", PLAN, "--detach").code == 0
        deadline = time.monotonic() + 60
        while osc("status", ID, "--json").document["changes"][0]["phase"] != "backfill":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=30)
    finally:
        worker.kill()
    assert worker.returncode == 143
    assert "OSC-I100" in err
    assert "Traceback" not in err
