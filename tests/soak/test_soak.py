"""The soak itself works: one change of the installed wheel under chaos, and a report of what was done and checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = {
    "every acknowledged write is there",
    "memory stays small",
    "no application died in a deadlock with osc",
    "no application was refused or lied to",
    "no secret leaves",
    "no statement waits long for osc",
    "nothing of osc is left behind",
    "the history explains every state",
    "the standby follows",
}


@pytest.mark.timeout(180)
def test_a_soak_tells_what_it_did_and_checked() -> None:
    command = [sys.executable, "-m", "tests.soak", "--minutes", "0.05", "--seed", "8", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert sum(report["changes"].values()) >= 1
    assert report["transactions"]["ok"] > 20
    assert set(report["checks"]) >= CHECKS
    assert report["violations"] == []
