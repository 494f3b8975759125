"""Gates as they are now: open, closed, or to be asked when their phase begins. Pure: nothing is opened."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from osc.executor.hours import open_at
from osc.program import GateStep, Phase, Program
from osc.state.gates import why_closed
from osc.state.transitions import State, phase_completed, phase_running
from osc.verbs.standing import GateNow

if TYPE_CHECKING:
    from osc.state.status import ChangeStatus

PERSON = ("ack", "approval")
"""Kinds that only a person opens."""


def gates_now(status: ChangeStatus, program: Program, now: datetime) -> tuple[GateNow, ...]:
    """Return every gate of the program, in its order."""
    return tuple(gate_now(status, step, now) for step in program.steps() if isinstance(step, GateStep))


def gate_now(status: ChangeStatus, step: GateStep, now: datetime) -> GateNow:
    """Return how the gate is at ``now``, the database's time."""
    row = next((row for row in status.steps if row.step == step.id), None)
    if row is not None and row.state == "done" and step.gate_kind not in PERSON:
        return GateNow(step.gate, step.gate_kind, step.phase, True, "passed")
    match step.gate_kind:
        case "ack" | "approval":
            return _by_word(status, step)
        case "after":
            return _after(status, step, now)
        case "hours":
            opens = f"begins only in these hours: {step.hours}"
            return GateNow(step.gate, "hours", step.phase, open_at(step, now), opens)
        case "sql":
            return GateNow(step.gate, "sql", step.phase, None, "asked when the phase is to begin: a query answers true")
        case "http":
            told = f"asked when the phase is to begin: {step.url} answers 200"
            return GateNow(step.gate, "http", step.phase, None, told)


def _by_word(status: ChangeStatus, step: GateStep) -> GateNow:
    change = status.change
    command = f"osc ack {change.id} {step.gate}"
    opened = status.gates.get(step.gate)
    closed = why_closed(opened, step, change)
    if closed is not None or opened is None:
        return GateNow(step.gate, step.gate_kind, step.phase, False, closed or "", command=command)
    told = f"{opened.opened_by}, {opened.opened_at:%Y-%m-%d %H:%M} UTC" + (
        f": {opened.reason}" if opened.reason else ""
    )
    return GateNow(step.gate, step.gate_kind, step.phase, True, told)


def _after(status: ChangeStatus, step: GateStep, now: datetime) -> GateNow:
    """The clock of ``after`` runs from the end of the phase before; inside a phase, from the end of the step before."""
    since = _inside(status, step) or _phase_before(status, step)
    if since is None:
        told = f"counts {timedelta(seconds=step.seconds)} from the end of what is before it"
        return GateNow(step.gate, "after", step.phase, False, told)
    left = step.seconds - (now - since).total_seconds()
    if left <= 0:
        return GateNow(step.gate, "after", step.phase, True, "the time is over")
    opens = now + timedelta(seconds=left)
    return GateNow(step.gate, "after", step.phase, False, f"opens {opens:%Y-%m-%d %H:%M} UTC", opens_in_s=left)


def _inside(status: ChangeStatus, step: GateStep) -> datetime | None:
    rows = [row for row in status.steps if row.phase is step.phase]
    mine = next((row.ordinal for row in rows if row.step == step.id), 0)
    ends = [row.done_at for row in rows if row.ordinal < mine and row.kind != "gate" and row.done_at]
    return max(ends, default=None)


def _phase_before(status: ChangeStatus, step: GateStep) -> datetime | None:
    ends = [
        times.completed_at
        for phase, times in status.phases.items()
        if phase.order < step.phase.order and times.completed_at is not None
    ]
    return max(ends, default=None)


def next_phase(state: State) -> Phase | None:
    """Return the phase that a change in ``state`` is to begin next; ``None`` inside one and behind the last."""
    if phase_running(state) is not None or state in (State.ROLLING_BACK, State.ROLLED_BACK, State.DONE):
        return None
    completed = phase_completed(state)
    return next(phase for phase in Phase if completed is None or phase.order > completed.order)


def in_the_way(gates: tuple[GateNow, ...], state: State) -> tuple[GateNow, ...]:
    """Return the closed gates right before a change in ``state``: those of its next phase, or contract's inner wait."""
    phase = Phase.CONTRACT if state is State.RETIRED else next_phase(state)
    return tuple(gate for gate in gates if gate.phase is phase and gate.open is False)
