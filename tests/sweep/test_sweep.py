"""A fault at every place: whatever dies, whoever takes over, whichever reply is lost, the end is that of a quiet run.

By default one place of every second combination, others each day; `make test-sweep` takes them all. The seed stands at the top
of the run: OSC_TEST_SWEEP_SEED=n runs the same places again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from osc.operations import operation_kinds
from osc.pg.embedded import EmbeddedServer
from tests.fixtures.postgres import Databases
from tests.fixtures.sweeping import PARTS, SEED, sweeping
from tests.sweep.archetypes import ARCHETYPES
from tests.sweep.rig import DIRECTIONS, FAULTS, Sweep

CASES = [(name, direction, fault) for name in ARCHETYPES for direction in DIRECTIONS for fault in FAULTS
         if direction != "turn" or fault == "kill9"]  # fmt: skip
TODAY = CASES if sweeping() else CASES[SEED % 2 :: 2]


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
    today = (SEED // 2 * 7 + CASES.index((name, direction, fault)) * 13) % len(places)
    for place in [places[today]] if isinstance(part, str) else places[part::PARTS]:
        try:
            sweep.fault(name, direction, fault, place)
        except AssertionError as error:
            wrong.append(f"{name} {direction} {fault} at {place[0]}@{place[1]}: {str(error)[:500]}")
    record_property("swept", sweep.runs)
    assert wrong == []
