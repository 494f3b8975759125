"""The one table of (state, event) → state. Executor, command line, documentation and model tests all read it.

Pure. A failure is no event: it leaves the state alone and sets the change's `problem`.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from osc.errors import Conflict
from osc.program.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where a change is. The order is that of a run without rollback."""

    REGISTERED = "registered"
    EXPANDING = "expanding"
    EXPANDED = "expanded"
    ENTERING_DUAL_WRITE = "entering_dual_write"
    DUAL_WRITE = "dual_write"
    BACKFILLING = "backfilling"
    BACKFILLED = "backfilled"
    SWITCHING = "switching"
    SWITCHED = "switched"
    RETIRING = "retiring"
    RETIRED = "retired"
    DROPPING = "dropping"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


class Event(StrEnum):
    """What moves a change.

    `complete:retire` and `begin:drop` are the seam inside contract, where it can still turn back.
    """

    BEGIN_EXPAND = "begin:expand"
    COMPLETE_EXPAND = "complete:expand"
    BEGIN_DUAL_WRITE = "begin:dual_write"
    COMPLETE_DUAL_WRITE = "complete:dual_write"
    BEGIN_BACKFILL = "begin:backfill"
    COMPLETE_BACKFILL = "complete:backfill"
    BEGIN_SWITCH = "begin:switch"
    COMPLETE_SWITCH = "complete:switch"
    BEGIN_CONTRACT = "begin:contract"
    COMPLETE_RETIRE = "complete:retire"
    BEGIN_DROP = "begin:drop"
    COMPLETE_CONTRACT = "complete:contract"
    ROLLBACK = "rollback"
    UNDO_REACHED_EXPAND = "undo-reached:expand"
    UNDO_REACHED_DUAL_WRITE = "undo-reached:dual_write"
    UNDO_REACHED_BACKFILL = "undo-reached:backfill"
    UNDO_REACHED_SWITCH = "undo-reached:switch"
    ROLLED_BACK = "rolled_back"


TERMINAL = frozenset({State.DONE, State.ROLLED_BACK})
"""Nothing leaves these."""

FINAL = TERMINAL | {State.DROPPING}
"""From here there is no way back: contract's first drop has begun."""

_FORWARD: Mapping[tuple[State, Event], State] = {
    (State.REGISTERED, Event.BEGIN_EXPAND): State.EXPANDING,
    (State.EXPANDING, Event.COMPLETE_EXPAND): State.EXPANDED,
    (State.EXPANDED, Event.BEGIN_DUAL_WRITE): State.ENTERING_DUAL_WRITE,
    (State.ENTERING_DUAL_WRITE, Event.COMPLETE_DUAL_WRITE): State.DUAL_WRITE,
    (State.DUAL_WRITE, Event.BEGIN_BACKFILL): State.BACKFILLING,
    (State.BACKFILLING, Event.COMPLETE_BACKFILL): State.BACKFILLED,
    (State.BACKFILLED, Event.BEGIN_SWITCH): State.SWITCHING,
    (State.SWITCHING, Event.COMPLETE_SWITCH): State.SWITCHED,
    (State.SWITCHED, Event.BEGIN_CONTRACT): State.RETIRING,
    (State.RETIRING, Event.COMPLETE_RETIRE): State.RETIRED,
    (State.RETIRED, Event.BEGIN_DROP): State.DROPPING,
    (State.DROPPING, Event.COMPLETE_CONTRACT): State.DONE,
}

# Undo walks the journal backwards, so what had been switched is switched back on the way. ROLLBACK in
# ROLLING_BACK is allowed because its target may be moved further back. UNDO_REACHED of a phase that was never
# complete would be a skip; the table cannot see that, `changes.set_state` refuses it by the phase's row.
_BACKWARD: Mapping[tuple[State, Event], State] = {
    **{(state, Event.ROLLBACK): State.ROLLING_BACK for state in State if state not in FINAL},
    (State.ROLLING_BACK, Event.UNDO_REACHED_EXPAND): State.EXPANDED,
    (State.ROLLING_BACK, Event.UNDO_REACHED_DUAL_WRITE): State.DUAL_WRITE,
    (State.ROLLING_BACK, Event.UNDO_REACHED_BACKFILL): State.BACKFILLED,
    (State.ROLLING_BACK, Event.UNDO_REACHED_SWITCH): State.SWITCHED,
    (State.ROLLING_BACK, Event.ROLLED_BACK): State.ROLLED_BACK,
}

TABLE: Mapping[tuple[State, Event], State] = MappingProxyType({**_FORWARD, **_BACKWARD})
"""Every move there is."""

_RUNNING: Mapping[State, Phase] = {
    State.EXPANDING: Phase.EXPAND,
    State.ENTERING_DUAL_WRITE: Phase.DUAL_WRITE,
    State.BACKFILLING: Phase.BACKFILL,
    State.SWITCHING: Phase.SWITCH,
    State.RETIRING: Phase.CONTRACT,
    State.RETIRED: Phase.CONTRACT,
    State.DROPPING: Phase.CONTRACT,
}

_RESTING: Mapping[State, Phase] = {
    State.EXPANDED: Phase.EXPAND,
    State.DUAL_WRITE: Phase.DUAL_WRITE,
    State.BACKFILLED: Phase.BACKFILL,
    State.SWITCHED: Phase.SWITCH,
    State.DONE: Phase.CONTRACT,
}


def next_state(state: State, event: Event) -> State:
    """Return the state that `event` leads to.

    Raise Conflict, naming the allowed events, if it leads nowhere.
    """
    reached = TABLE.get((state, event))
    if reached is not None:
        return reached
    allowed = [str(one) for one in allowed_events(state)]
    raise Conflict(
        f"a change that is {state} does not take {event}; nothing was changed",
        hint=f"allowed now: {', '.join(allowed)}" if allowed else f"{state} is final",
        facts={"state": str(state), "event": str(event), "allowed_events": allowed},
    )


def allowed_events(state: State) -> tuple[Event, ...]:
    """Return the events that `state` takes, in the order of Event."""
    return tuple(event for event in Event if (state, event) in TABLE)


def begin(phase: Phase) -> Event:
    """Return the event that begins `phase`."""
    return Event(f"begin:{phase}")


def complete(phase: Phase) -> Event:
    """Return the event that completes `phase`."""
    return Event(f"complete:{phase}")


def undo_reached(phase: Phase) -> Event:
    """Return the event that ends a rollback at completed `phase`.

    Contract, which has none, is a ValueError.
    """
    return Event(f"undo-reached:{phase}")


def phase_of(event: Event) -> Phase | None:
    """Return the phase whose row `event` is about; None for contract's inner seam and for a whole rollback."""
    name = event.partition(":")[2]
    return Phase(name) if name in set(Phase) else None


def phase_completed(state: State) -> Phase | None:
    """Return the last phase that is complete for certain.

    None for registered and rolled_back; None for rolling_back too, where only the phases' rows know.
    """
    if state in _RESTING:
        return _RESTING[state]
    running = phase_running(state)
    if running is None or running is Phase.EXPAND:
        return None
    return list(Phase)[running.order - 1]


def rests_at(state: State) -> Phase | None:
    """Return the phase that is complete where none is running; None elsewhere."""
    return _RESTING.get(state)


def phase_running(state: State) -> Phase | None:
    """Return the phase that is begun and not complete; retired waits inside contract.

    None while rolling back.
    """
    return _RUNNING.get(state)


def allowed_verbs(state: State) -> tuple[str, ...]:
    """Return the verbs of the command line that make sense now, for its "allowed now" hints."""
    events = allowed_events(state)
    verbs = ["status", "history"]
    if state not in TERMINAL:
        verbs += ["pause", "resume", "set"]
    if any(event in events for (_, event) in _FORWARD):
        verbs += ["apply", "advance", "wait", "ack"]
    if state in (State.BACKFILLING, State.BACKFILLED, State.SWITCHED):
        verbs.append("verify")
    if phase_running(state) or state is State.ROLLING_BACK:
        verbs.append("resolve")
    if Event.ROLLBACK in events:
        verbs.append("rollback")
    if state is State.ROLLED_BACK:
        verbs.append("apply")
    return tuple(verbs)


def diagram() -> str:
    """Return the table as a mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.REGISTERED}"]
    lines += [f"    {state} --> {reached}: {event}" for (state, event), reached in TABLE.items()]
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(lines) + "\n"
