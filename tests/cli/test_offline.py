"""What needs no database: starting a plan, linting it, the schema; and how wrong calls end."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import osc.cli.main
from osc import __version__
from tests.cli.conftest import PLAN, command_line, spawn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Osc


def test_new_then_lint(offline: Osc, tmp_path: Path) -> None:
    done = offline("new", "change_column", "00007_it", "--table", "shop.orders", "--directory", tmp_path, "--json")
    assert (done.code, done.document["plan"]) == (0, str(tmp_path / "00007_it.yaml"))
    linted = offline("lint", tmp_path)
    assert (linted.code, linted.out) == (0, "nothing found; not checked against a database\n")


def test_a_broken_plan_is_told_with_place_and_remedy(offline: Osc, tmp_path: Path) -> None:
    plan = tmp_path / "00002_broken.yaml"
    plan.write_text("osc: 1\noperations:\n  - change_colum: {table: users}\n")
    done = offline("lint", plan)
    assert done.code == 2
    expected = f"OSC-V101 {plan}:3:5 unknown operation 'change_colum'; did you mean 'change_column'?\n"
    assert done.out.startswith(expected)
    document = offline("lint", plan, "--json").document
    assert (document["ok"], document["findings"][0]["place"]["line"]) == (False, 3)


def test_a_rule_that_says_no_exits_3(offline: Osc, tmp_path: Path) -> None:
    plan = tmp_path / "00003_twice.yaml"
    index = "  - create_index: {table: users, name: users_idx, columns: [id]}\n"
    plan.write_text("osc: 1\noperations:\n" + index + index)
    assert offline("lint", plan).code == 3


def test_the_schema_is_the_one_beside_the_plans(offline: Osc) -> None:
    schema = json.loads(offline("schema").out)
    assert schema == offline("schema", "--json").document
    assert "operations" in schema["properties"]


def test_version(offline: Osc) -> None:
    assert offline("version").out.startswith(f"osc {__version__} ")
    assert offline("--json", "version").document["osc"] == __version__


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sttus"], "did you mean 'status'?"),
        (["status", "--jsn"], "--json"),
        (["wait", "00001_a"], "PHASE"),
        (["wait", "00001_a", "backfil"], "'backfil' is no phase; did you mean 'backfill'?"),
        (["apply", "p.yaml", "--to", "swich"], "did you mean 'switch'?"),
        (["advance", "00001_a", "--timeout", "10"], "--timeout 10s is that many seconds"),
        (["advance", "00001_a", "--timeout", "soon"], "45s, 30m, 1h30m"),
        (["set", "00001_a", "speed"], "is not KEY=VALUE"),
        (["set", "00001_a", "speed=200%"], "speed: "),
        (["pause"], "name one of"),
        (["resolve", "00001_a", "step", "--reason", "x"], "--happened and --did-not"),
        (["explain", "p.yaml", "--sql", "--markdown"], "exclude each other"),
        (["new", "change_colum", "00001_a"], "did you mean 'change_column'?"),
    ],
)
def test_a_wrong_call_exits_2_and_says_what_is_meant(offline: Osc, arguments: list[str], says: str) -> None:
    done = offline(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("OSC-")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_an_error_with_json_is_one_document(offline: Osc) -> None:
    done = offline("wait", "00001_a", "backfil", "--json")
    assert done.document["error"]["exit_code"] == done.code == 2
    assert offline("--json", "sttus").document["error"]["code"] == "OSC-A110"
    assert "no one document" in offline("status", "--watch", "--json").document["error"]["message"]


def test_a_bug_is_one_line_without_a_traceback(offline: Osc, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("password=canary")

    monkeypatch.setattr(osc.cli.main, "refuse_other_osc", broken)
    done = offline("version")
    assert done.code == 1
    assert done.err.startswith("OSC-E999 internal error: RuntimeError at test_offline.py:")
    assert done.err.count("\n") == 1
    assert "canary" not in done.err
    monkeypatch.setenv("OSC_DEBUG", "1")
    assert "Traceback" in offline("version").err


def test_stdin_may_be_closed() -> None:
    done = spawn("lint", str(PLAN), "--offline", stdin=None, preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    shell = f"{' '.join(command_line('schema'))} | head -1"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_names_that_the_terminal_cannot_show_are_escaped() -> None:
    done = spawn("status", "--to=\N{SNOWMAN}", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_opensuse_commander_in_the_same_environment_is_refused(tmp_path: Path) -> None:
    info = tmp_path / "osc-1.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: osc\nVersion: 1.9\n")
    done = spawn("version", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "openSUSE Commander" in done.stderr
    assert "environment of its own" in done.stderr
