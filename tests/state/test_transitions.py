"""The table of transitions has no dead ends, no skips and no second copy that could drift."""

from __future__ import annotations

import re
from importlib import resources
from itertools import product

import pytest

from osc.errors import Conflict
from osc.program import Phase
from osc.state import transitions
from osc.state.transitions import FINAL, TABLE, TERMINAL, Event, State, next_state

ROLLBACK_FROM = sorted(set(State) - FINAL, key=list(State).index)

SNAPSHOT = """
registered begin:expand expanding
expanding complete:expand expanded
expanded begin:dual_write entering_dual_write
entering_dual_write complete:dual_write dual_write
dual_write begin:backfill backfilling
backfilling complete:backfill backfilled
backfilled begin:switch switching
switching complete:switch switched
switched begin:contract retiring
retiring complete:retire retired
retired begin:drop dropping
dropping complete:contract done
registered rollback rolling_back
expanding rollback rolling_back
expanded rollback rolling_back
entering_dual_write rollback rolling_back
dual_write rollback rolling_back
backfilling rollback rolling_back
backfilled rollback rolling_back
switching rollback rolling_back
switched rollback rolling_back
retiring rollback rolling_back
retired rollback rolling_back
rolling_back rollback rolling_back
rolling_back undo-reached:expand expanded
rolling_back undo-reached:dual_write dual_write
rolling_back undo-reached:backfill backfilled
rolling_back undo-reached:switch switched
rolling_back rolled_back rolled_back
"""


def reachable(start: State) -> set[State]:
    """Return all states that events lead to from `start`, itself among them."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        new = {TABLE[state, event] for event in transitions.allowed_events(state)} - seen
        seen |= new
        todo += new
    return seen


def test_the_table_is_the_reviewed_one() -> None:
    lines = [f"{state} {event} {reached}" for (state, event), reached in TABLE.items()]
    assert lines == SNAPSHOT.strip().splitlines()


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_leads_somewhere_or_is_refused_with_what_is_allowed(state: State, event: Event) -> None:
    if (state, event) in TABLE:
        assert next_state(state, event) is TABLE[state, event]
        return
    with pytest.raises(Conflict) as refused:
        next_state(state, event)
    assert refused.value.facts["state"] == state
    assert refused.value.facts["allowed_events"] == list(transitions.allowed_events(state))


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_an_end_in_reach(state: State) -> None:
    assert reachable(state) & TERMINAL
    assert (state in TERMINAL) == (reachable(state) == {state})


def test_every_state_is_reached_from_registered() -> None:
    assert reachable(State.REGISTERED) == set(State)


def test_rollback_is_possible_until_the_first_drop_and_only_until_then() -> None:
    for state in ROLLBACK_FROM:
        assert State.ROLLED_BACK in reachable(state)
    for state in FINAL - {State.ROLLED_BACK}:
        assert State.ROLLED_BACK not in reachable(state)


def test_phases_are_passed_in_order_and_none_is_skipped() -> None:
    for (state, event), reached in TABLE.items():
        if not event.startswith(("begin:", "complete:")):
            continue
        before, after = transitions.phase_completed(state), transitions.phase_completed(reached)
        rises = (after.order if after else -1) - (before.order if before else -1)
        assert rises == (event.startswith("complete:") and event is not Event.COMPLETE_RETIRE)


@pytest.mark.parametrize("phase", list(Phase))
def test_the_events_of_a_phase_run_and_complete_it(phase: Phase) -> None:
    before = next(state for state, event in TABLE if event is transitions.begin(phase))
    running = next_state(before, transitions.begin(phase))
    assert transitions.phase_running(running) is phase
    done = next(reached for (_, event), reached in TABLE.items() if event is transitions.complete(phase))
    assert transitions.phase_completed(done) is phase
    assert transitions.phase_running(done) is None
    if phase is not Phase.CONTRACT:
        assert next_state(State.ROLLING_BACK, transitions.undo_reached(phase)) is done


def test_phase_of_names_the_row_that_an_event_is_about() -> None:
    assert transitions.phase_of(Event.BEGIN_DUAL_WRITE) is Phase.DUAL_WRITE
    assert transitions.phase_of(Event.UNDO_REACHED_SWITCH) is Phase.SWITCH
    for event in (Event.COMPLETE_RETIRE, Event.BEGIN_DROP, Event.ROLLBACK, Event.ROLLED_BACK):
        assert transitions.phase_of(event) is None


def test_the_verbs_named_as_allowed_follow_the_table() -> None:
    for state in State:
        verbs = transitions.allowed_verbs(state)
        assert len(set(verbs)) == len(verbs)
        assert ("rollback" in verbs) == ((state, Event.ROLLBACK) in TABLE)
        assert ("pause" in verbs) == (state not in TERMINAL)
    assert "advance" in transitions.allowed_verbs(State.DROPPING)
    assert "advance" not in transitions.allowed_verbs(State.ROLLING_BACK)
    assert transitions.allowed_verbs(State.DONE) == ("status", "history")


def test_the_database_knows_the_same_states() -> None:
    sql = resources.files("osc.state").joinpath("migrations/0001_state.sql").read_text("utf-8")
    check = re.search(r"CONSTRAINT change_state_known CHECK \(state IN \((.*?)\)\)", sql, re.DOTALL)
    phases = re.search(r"CONSTRAINT phase_name_known CHECK \(VALUE IN \((.*?)\)\)", sql)
    assert check
    assert phases
    assert re.findall(r"'(\w+)'", check[1]) == [str(state) for state in State]
    assert re.findall(r"'(\w+)'", phases[1]) == [str(phase) for phase in Phase]


def test_the_diagram_shows_every_transition() -> None:
    diagram = transitions.diagram()
    assert diagram.startswith("stateDiagram-v2\n")
    for (state, event), reached in TABLE.items():
        assert f"    {state} --> {reached}: {event}\n" in diagram
