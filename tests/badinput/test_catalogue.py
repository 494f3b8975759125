"""Bad input B19 to B58: each plan is refused with its code, place and exit status, and nothing is changed by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.badinput.catalogue import ROWS, Row
from tests.badinput.conftest import fingerprint
from tests.badinput.elsewhere import NOT_IN_OSC, OPEN, SHOWN

if TYPE_CHECKING:
    from tests.badinput.conftest import Watched

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_bad_plan_is_refused_and_nothing_changes(ground: Watched, ground_dsn: str, tmp_path: Path, row: Row) -> None:
    plan = tmp_path / "00042_bad.yaml"
    plan.write_text(row.plan)
    before = fingerprint(ground_dsn)
    linted, applied = ground("lint", plan, "--json"), ground("apply", plan, "--to", "contract", "--json")
    assert fingerprint(ground_dsn) == before
    assert (linted.code, applied.code) == (0 if row.proof else row.exit, row.exit)
    by_lint = [] if row.proof else [linted.document["findings"]]
    for findings in (*by_lint, applied.document["error"]["findings"]):
        said = [(one["code"], f"{one['place']['line']}:{one['place']['column']}") for one in findings if one["place"]]
        assert (f"OSC-{row.code}", row.place) in said
    assert applied.err.startswith(("OSC-", "warning: OSC-"))
    for told in (linted.out, linted.err, applied.out, applied.err):
        assert "CANARY" not in told


def test_every_entry_of_the_catalogue_has_its_place() -> None:
    every = {f"B{number:02}" for number in range(1, 78)}
    assert {row.number for row in ROWS.values()} | set(SHOWN) | set(NOT_IN_OSC) | set(OPEN) == every


@pytest.mark.parametrize(
    "path", sorted({*(one for tests in SHOWN.values() for one in tests), *(t for _, t in NOT_IN_OSC.values())})
)
def test_what_is_shown_elsewhere_is_there(path: str) -> None:
    file, _, name = path.partition("::")
    assert f"def {name}" in (TESTS / file).read_text()
