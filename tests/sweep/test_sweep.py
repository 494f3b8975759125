"""A fault at every place: whatever dies, whoever takes over, whichever reply is lost, the end is that of a quiet run.

By default one place of every fourteenth combination and a few pairs of faults, others each day; `make test-sweep` takes them all. The
seed stands at the top of the run: OSC_TEST_SWEEP_SEED=n runs the same places again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from osc.failpoints import EVERY
from osc.operations import operation_kinds
from osc.pg.embedded import EmbeddedServer
from tests.fixtures.postgres import Databases
from tests.fixtures.sweeping import PARTS, SEED, daily, sweeping
from tests.sweep.archetypes import ARCHETYPES
from tests.sweep.rig import DIRECTIONS, FAULTS, Sweep

CASES = [(name, direction, fault) for name in ARCHETYPES for direction in DIRECTIONS for fault in FAULTS]
DAYS = 14
TODAY = daily(CASES, DAYS)
PAIRS_A_DAY, PAIRS_A_SWEEP, PASSAGES_MAX = 4, 200, 60


@pytest.fixture(scope="session")
def known() -> dict[tuple[str, str], object]:
    """Keep what undisturbed runs came to."""
    return {}


@pytest.fixture
def sweep(
    server: EmbeddedServer, databases: Databases, tmp_path: Path, schema_dump: Callable[[str], str], known: dict
) -> Sweep:
    return Sweep(server, databases, tmp_path, schema_dump, known)


def test_every_kind_of_operation_is_swept() -> None:
    assert {*operation_kinds(), "run"} <= {kind for one in ARCHETYPES.values() for kind in one.kinds}


@pytest.mark.timeout(3600 if sweeping() else 120)
@pytest.mark.parametrize("part", range(PARTS) if sweeping() else ["today"])
@pytest.mark.parametrize(("name", "direction", "fault"), TODAY)
def test_a_fault_at_any_place_does_not_change_the_end(
    sweep: Sweep, name: str, direction: str, fault: str, part: int | str, record_property: Callable[[str, object], None]
) -> None:
    places, wrong = sweep.places(name, direction), []
    today = (SEED // DAYS * 7 + CASES.index((name, direction, fault)) * 13) % len(places)
    for place in [places[today]] if isinstance(part, str) else places[part::PARTS]:
        try:
            sweep.fault(name, direction, fault, place)
        except AssertionError as error:
            wrong.append(f"{name} {direction} {fault} at {place[0]}@{place[1]}: {str(error)[:500]}")
    record_property("swept", f"{name} {direction} {fault}: {sweep.runs}")
    assert wrong == []


@pytest.mark.parametrize("pair", range(PAIRS_A_SWEEP if sweeping() else PAIRS_A_DAY))
def test_a_fault_in_the_run_that_recovers_from_one_does_not_change_the_end(
    sweep: Sweep, pair: int, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(SEED * PAIRS_A_SWEEP + pair)
    name, direction, first = chance.choice(CASES)
    place, second = chance.choice(sweep.places(name, direction)), chance.choice(FAULTS)
    passage = chance.randint(1, PASSAGES_MAX)
    record_property("swept", f"pairs of faults, {name} {direction}: 1")
    try:
        sweep.fault(name, direction, first, place, (second, (EVERY, passage)))
    except AssertionError as error:
        error.add_note(
            f"{name} {direction}: {first} at {place[0]}@{place[1]}, then {second} at passage {passage} of any point"
        )
        raise
