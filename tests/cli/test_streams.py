"""F09: nobody listening is no reason to stop: streams that are full, closed or read by nobody change no run and no code."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import PLAN, ROOT, command_line

if TYPE_CHECKING:
    from tests.cli.conftest import Osc
    from tests.fixtures.postgres import Connect

INVALID = 2


def unheard(how: str) -> int:
    """Return a stream to which nothing can be written."""
    if how == "full":
        return os.open("/dev/full", os.O_WRONLY)
    read, write = os.pipe()
    os.close(read)
    return write


def run(dsn: str, *arguments: str, out: str = "", err: str = "") -> tuple[int, str, str]:
    """Run osc with streams that are ``full``, ``gone`` (their reader has ended) or, where nothing is said, pipes."""
    streams = [unheard(one) if one else subprocess.PIPE for one in (out, err)]
    env = {**os.environ, "OSC_DATABASE_URL": dsn}
    process = subprocess.Popen(
        command_line(*arguments), env=env, cwd=ROOT, stdout=streams[0], stderr=streams[1], text=True
    )
    for ours in streams:
        if ours != subprocess.PIPE:
            os.close(ours)
    told = process.communicate(timeout=60)
    return process.returncode, told[0] or "", told[1] or ""


@pytest.mark.parametrize(("out", "err"), [("gone", "gone"), ("full", "")])
def test_a_run_that_nobody_hears_is_done_and_says_so_by_its_code(
    osc: Osc, dsn: str, connect: Connect, out: str, err: str
) -> None:
    code, said, complained = run(dsn, "apply", str(PLAN), "--to", "dual_write", out=out, err=err)
    assert code == 0
    assert connect().execute("SELECT state FROM osc.change").fetchone() == ("dual_write",)
    assert "Traceback" not in complained + said
    assert "Exception ignored" not in complained
    assert ("could not be written" in complained) == ((out, err) == ("full", ""))


@pytest.mark.parametrize("how", ["gone", "full"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_refusal_that_nobody_hears_keeps_its_code(how: str, form: list[str]) -> None:
    assert run("", "lint", "there/is/no/such/plan.yaml", *form, out=how, err=how)[0] == INVALID


def test_a_pipe_into_head_says_nothing_of_it(osc: Osc, dsn: str) -> None:
    assert osc("apply", PLAN, "--to", "expand").code == 0
    code, _, complained = run(dsn, "history", "--json", out="gone")
    assert (code, complained) == (0, "")
