"""Bad input B01 to B18 and B69 through the command line: files that are no plan, and things that are no file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import PLAN
from tests.plan.test_load import BAD_FILES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.badinput.conftest import Watched


@pytest.mark.parametrize(("text", "expected"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_plan_is_refused_with_code_and_place(
    watched: Watched, tmp_path: Path, text: str, expected: list[str]
) -> None:
    plan = tmp_path / "00001_x.yaml"
    plan.write_text(text, encoding="utf-8", newline="")
    done = watched("lint", "--offline", plan, "--json")
    assert done.code == 2
    told = [f"{one['code'][4:]} {one['place']['line']}:{one['place']['column']}" for one in done.document["findings"]]
    assert set(expected) <= set(told)
    applied = watched("apply", plan)
    assert (applied.code, applied.out) == (2, "")
    assert applied.err.startswith("OSC-")


NO_FILES = ("directory", "FIFO", "loop", "missing", "device", "address", "file address", "NUL", "name of 5000 letters")


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_regular_file_is_refused_at_once(watched: Watched, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "00001_x.yaml"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "directory":
        path.mkdir()
    special = {
        "device": "/dev/zero", "address": "https://example.invalid/00001_x.yaml", "file address": "file:///etc/shadow",
        "NUL": "a\0b", "name of 5000 letters": "x" * 5000,
    }  # fmt: skip
    for verb in ("lint", "apply", "explain"):
        done = watched(verb, special.get(kind, str(path)))
        assert done.code == 2, done
        assert ("OSC-A110" if kind == "NUL" else "OSC-P003") in done.err + done.out


def test_a_file_without_end_is_refused_at_once(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "00001_x.yaml"
    with path.open("wb") as file:
        file.truncate(10 << 30)
    done = watched("lint", "--offline", path)
    assert (done.code, "OSC-P012" in done.out + done.err) == (2, True)


WORDS = (
    "osc", "1", "operations", "change_column", "add_column", "create_index", "table", "column", "to", "type", "up", "down",
    "backfill", "switch", "contract", "require", "ack", "after", "7d", "-", ":", "{", "}", "[", "]", "&a", "*a", "!!x", "|",
    ">", "'", '"', "#", "\n", "  ", "\t", "null", "~", "---", "...", "%", "?", "<<", "\u202e", "\\", ",", "é",
)  # fmt: skip
MUTANTS = st.builds(
    lambda at, cut, text: (lambda plan: plan[:at] + text + plan[at + cut :])(PLAN.read_text()),
    st.integers(0, 900), st.integers(0, 40), st.text(max_size=20) | st.sampled_from(WORDS),
)  # fmt: skip
TEXTS = MUTANTS | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=200)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=300))
def test_whatever_a_file_holds_it_is_a_plan_or_told_with_a_code(watched: Watched, tmp_path: Path, data: bytes) -> None:
    plan = tmp_path / "00001_pgbench_balance.yaml"
    plan.write_bytes(data)
    done = watched("lint", "--offline", plan)
    assert done.code in (0, 2, 3)
    assert done.code == 0 or "OSC-" in done.out
