"""The whole demo, small: as a person runs it, with what its report promises."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from osc.program import Phase
from tests.demo.command import left_behind, spawn, temporary_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

TYPES = {
    "rows": int,
    "transactions": int,
    "failed_transactions": int,
    "lost_increments": int,
    "longest_wait_ms": float,
    "p50_ms_before": float,
    "p99_ms_before": float,
    "p50_ms_during": float,
    "p99_ms_during": float,
    "backfill_rows_per_s": int,
    "mismatches": int,
    "phases": dict,
    "seconds": float,
}
SMALL = ("--rows", "20000", "--seconds", "4")


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as home:
        yield home


def test_the_json_report_has_its_keys_and_keeps_its_promises(home: Path) -> None:
    # Variables that are meant for other servers must not reach the demo's.
    process = spawn(home, *SMALL, "--json", PGHOST="nowhere.invalid", PGSSLMODE="verify-full", PGOPTIONS="-c x.y=1")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    report: dict[str, Any] = json.loads(out)
    assert {name: type(value) for name, value in report.items()} == TYPES
    assert report["rows"] == 20_000
    assert (report["failed_transactions"], report["lost_increments"], report["mismatches"]) == (0, 0, 0)
    assert list(report["phases"]) == [str(phase) for phase in Phase]
    assert report["transactions"] > 500
    assert 0 < report["p50_ms_before"] <= report["p99_ms_before"]
    assert 0 < report["p50_ms_during"] <= report["p99_ms_during"]
    assert left_behind(home) == []


def test_the_text_report_ends_with_three_commands_and_progress_is_elsewhere(home: Path) -> None:
    process = spawn(home, *SMALL)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "failed transactions   0" in out
    assert out.count("    osc ") == 3
    assert "switch: done after" in err
    assert "osc ack app-2: refused" in err
    assert "switch: done" not in out


def test_a_kept_server_stays_until_ctrl_c(home: Path) -> None:
    process = spawn(home, *SMALL, "--keep")
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if "Ctrl-C" in line:
            break
    url = next(word for line in shown for word in line.split() if word.startswith("postgresql://"))
    assert f"osc status 00001_pgbench_balance --database-url {url}" in "".join(shown)
    assert left_behind(home)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert left_behind(home) == []


def test_a_database_of_ones_own_is_refused(home: Path) -> None:
    process = spawn(home, "--database-url", "postgresql://localhost/mine")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "server of its own" in err
