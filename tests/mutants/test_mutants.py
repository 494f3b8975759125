"""Proof that the tests test: each seeded fault is noticed by the tests that are there for it.

Which tests are to kill which mutant is in the ``seeds_*.py``; at the end of a run the one that did is printed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from osc.pg.embedded import EmbeddedServer
from tests.fixtures.mutants import KILLED_BY
from tests.mutants.seeding import KILLED, Mutant, run_killers
from tests.mutants.seeds_fill import FILL
from tests.mutants.seeds_going import GOING
from tests.mutants.seeds_ground import GROUND
from tests.mutants.seeds_steps import STEPS
from tests.mutants.seeds_sync import SYNC

MUTANTS = [*SYNC, *FILL, *STEPS, *GOING, *GROUND]
ENOUGH = 30
PROMISES = {f"I{n}" for n in range(1, 29)}


def test_there_are_enough_mutants_and_each_has_a_name_of_its_own() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= ENOUGH


def test_every_promise_is_broken_by_a_mutant() -> None:
    """docs/explanation/guarantees.md: what has no fault that a test notices is only said, not kept."""
    assert {one.breaks for one in MUTANTS} == PROMISES


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_is_killed(
    mutant: Mutant, server: EmbeddedServer, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    done = run_killers(mutant, tmp_path / "mutant", server)
    said = f"{done.stdout[-3000:]}{done.stderr[-2000:]}"
    assert done.returncode == KILLED, f"{mutant.name} lives, or was not tried:\n{said}"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    record_property(KILLED_BY, f"{mutant.breaks:<4}{mutant.name:<48} {failed[0].split()[1] if failed else '?'}")
