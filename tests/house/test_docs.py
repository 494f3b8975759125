"""The documentation is true: generated pages are up to date, every example runs, every link leads somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from osc.operations import operation_kinds
from osc.plan import load_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.postgres import Connect

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def test_generated_pages_are_what_the_program_says() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run make docs\n{done.stderr}"


def test_every_operation_has_an_example_plan() -> None:
    plans = " ".join(path.read_text() for path in (ROOT / "plans").glob("*.yaml"))
    missing = [kind for kind in operation_kinds() if f"- {kind}:" not in plans]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_whole_plans_in_the_documentation_load(page: Path) -> None:
    for language, text in BLOCK.findall(page.read_text()):
        if language == "yaml" and text.startswith("osc: 1"):
            load_text(f"id: 00042_example\n{text}", "-")


def test_the_tutorial_runs(dsn: str, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    conn = connect()
    for language, text in _blocks(ROOT / "docs" / "tutorial" / "first-change.md"):
        match language:
            case "sql":
                conn.execute(text)  # type: ignore[arg-type]  # the documentation's own text
            case "yaml":
                (tmp_path / "plans" / "00042_users_verified_at.yaml").write_text(text)
            case "console":
                for line in text.splitlines():
                    _run(line.removeprefix("$ "), dsn, tmp_path)
    row = conn.execute("SELECT count(*), count(verified_at) FROM users").fetchone()
    assert row == (1000, 334)


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    yield from BLOCK.findall(page.read_text())


def _run(command: str, dsn: str, directory: Path) -> None:
    words = shlex.split(command)
    assert words[0] == "osc"
    done = subprocess.run(
        [sys.executable, "-m", "osc", *words[1:]],
        cwd=directory, env={**os.environ, "OSC_DATABASE_URL": dsn}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
