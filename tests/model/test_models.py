"""The protocol, searched in whole: no promise breaks in any state, and each rule that is taken away breaks one.

Three small models instead of one that could not be searched: who leads (leading.py), what a fill does to rows
(filling.py), and what people may ask in which phase (phases.py). A counterexample prints as a list of events.
"""

from __future__ import annotations

from typing import Any

import pytest

from osc.state.transitions import TABLE, State
from tests.model import filling, leading, phases
from tests.model.search import Counterexample, Search

MODELS: dict[str, Any] = {"leading": leading.Leading, "filling": filling.Filling, "phases": phases.Phases}
MODULES: dict[str, Any] = {"leading": leading, "filling": filling, "phases": phases}
FAULTS = [(name, fault) for name, module in MODULES.items() for fault in module.FAULTS]
LEAST = {"leading": 20_000, "filling": 20_000, "phases": 10_000}
"""States that each model has at least: one that suddenly has few explores nothing."""


FAILS_OVER = {"leading"}
"""Models in which a standby takes over that had not got the last commit."""


@pytest.mark.parametrize("name", MODELS)
def test_no_promise_breaks_in_any_state_and_an_end_is_always_in_reach(name: str) -> None:
    search = Search(MODELS[name]()).run()
    assert len(search.states) >= LEAST[name]
    assert ("failover" in search.labels) == (name in FAILS_OVER)


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_rule_that_is_taken_away_gives_a_counterexample(name: str, fault: str) -> None:
    with pytest.raises(Counterexample) as found:
        Search(MODELS[name](fault)).run()
    assert found.value.story
    assert "  1. " in str(found.value)  # told event by event


def test_the_phase_model_passes_through_every_state_and_every_transition_of_the_products_table() -> None:
    model = phases.Phases()
    search = Search(model).run()
    assert {world.state for world in search.states} == set(State)
    taken = {(a.state, label) for a in search.states for label, b in model.moves(a) if a.state is not b.state}
    # A second wish for the way back changes where it ends (changes.set_target), not the state: no move of the leader.
    assert {(state, str(label)) for state, label in taken} == {
        (state, str(event)) for state, event in TABLE if TABLE[state, event] is not state
    }
