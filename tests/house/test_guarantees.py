"""The page of guarantees: every invariant is on it, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/guarantees.md").read_text()
ROWS = dict(re.findall(r"^\| (I\d+) \| (.*) \|$", PAGE, re.MULTILINE))
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_invariant_is_there_with_a_promise_its_means_and_a_test() -> None:
    assert list(ROWS) == [f"I{n}" for n in range(1, 29)]
    for name, row in ROWS.items():
        promise, means, shown = (part.strip() for part in row.split(" | "))
        assert promise.endswith("."), name
        assert means.endswith("."), name
        assert "::test_" in shown, name


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_is_there(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
