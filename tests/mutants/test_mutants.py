"""Proof that the tests test: each seeded fault is noticed by the tests that are there for it.

Which tests are to kill which mutant is in the ``seeds_*.py``; at the end of a run the one that did is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from tests.mutants.warm import WarmParent

MUTANTS = [*SYNC, *FILL, *STEPS, *GOING, *GROUND]
ENOUGH = 30
PROMISES = {f"I{n}" for n in range(1, 29)}


def test_there_are_enough_mutants_and_each_has_a_name_of_its_own() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= ENOUGH


def test_every_promise_is_broken_by_a_mutant() -> None:
    """docs/explanation/guarantees.md: what has no fault that a test notices is only said, not kept."""
    assert {one.breaks for one in MUTANTS} == PROMISES


@pytest.fixture(scope="session")
def parent() -> Iterator[WarmParent]:
    """Give the process of which the tests of all mutants are forks."""
    with WarmParent() as parent:
        yield parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_is_killed(
    mutant: Mutant,
    server: EmbeddedServer,
    parent: WarmParent,
    tmp_path: Path,
    record_property: Callable[[str, str], None],
) -> None:
    tried = run_killers(mutant, tmp_path / "mutant", server, parent)
    assert tried.code == KILLED, f"{mutant.name} lives, or was not tried:\n{tried.said[-4000:]}"
    record_property(KILLED_BY, f"{mutant.breaks:<4}{mutant.name:<48} {tried.killer()}")
