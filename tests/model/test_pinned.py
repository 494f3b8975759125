"""Names and orders that others rely on are pinned, and every pair of state and event is laid out to be read."""

from __future__ import annotations

from osc.program import Phase
from osc.state.transitions import TABLE, Event, State

PHASES = "expand dual_write backfill switch contract"
STATES = """registered expanding expanded entering_dual_write dual_write backfilling backfilled switching switched retiring
retired dropping done rolling_back rolled_back"""
EVENTS = """begin:expand complete:expand begin:dual_write complete:dual_write begin:backfill complete:backfill begin:switch
complete:switch begin:contract complete:retire begin:drop complete:contract rollback undo-reached:expand
undo-reached:dual_write undo-reached:backfill undo-reached:switch rolled_back"""

MATRIX = """
                        1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18
 0 registered           1  .  .  .  .  .  .  .  .  .  .  . 13  .  .  .  .  .
 1 expanding            .  2  .  .  .  .  .  .  .  .  .  . 13  .  .  .  .  .
 2 expanded             .  .  3  .  .  .  .  .  .  .  .  . 13  .  .  .  .  .
 3 entering_dual_write  .  .  .  4  .  .  .  .  .  .  .  . 13  .  .  .  .  .
 4 dual_write           .  .  .  .  5  .  .  .  .  .  .  . 13  .  .  .  .  .
 5 backfilling          .  .  .  .  .  6  .  .  .  .  .  . 13  .  .  .  .  .
 6 backfilled           .  .  .  .  .  .  7  .  .  .  .  . 13  .  .  .  .  .
 7 switching            .  .  .  .  .  .  .  8  .  .  .  . 13  .  .  .  .  .
 8 switched             .  .  .  .  .  .  .  .  9  .  .  . 13  .  .  .  .  .
 9 retiring             .  .  .  .  .  .  .  .  . 10  .  . 13  .  .  .  .  .
10 retired              .  .  .  .  .  .  .  .  .  . 11  . 13  .  .  .  .  .
11 dropping             .  .  .  .  .  .  .  .  .  .  . 12  .  .  .  .  .  .
12 done                 .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .
13 rolling_back         .  .  .  .  .  .  .  .  .  .  .  . 13  2  4  6  8 14
14 rolled_back          .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .
"""
"""A line a state, a column an event, in their order: the number of the state that it leads to, or a dot where it is refused."""


def matrix() -> str:
    """Return the table of transitions as MATRIX shows it."""
    states = list(State)
    lines = [" " * 23 + " ".join(f"{n:>2}" for n in range(1, len(Event) + 1))]
    for number, state in enumerate(states):
        cells = [str(states.index(TABLE[state, event])) if (state, event) in TABLE else "." for event in Event]
        lines.append(f"{number:>2} {state:<20}" + " ".join(f"{cell:>2}" for cell in cells))
    return "\n".join(lines)


def test_phases_states_and_events_keep_their_names_and_their_order() -> None:
    assert [str(one) for one in Phase] == PHASES.split()
    assert [str(one) for one in State] == STATES.split()
    assert [str(one) for one in Event] == EVENTS.split()


def test_every_pair_of_state_and_event_is_as_it_was_reviewed() -> None:
    assert matrix() == MATRIX.strip("\n")
