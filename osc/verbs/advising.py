"""The one command to type next, and the way back: what an operator reads first at three in the morning. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.program import FillStep, Phase, Program
from osc.state.transitions import FINAL, State, phase_completed
from osc.verbs.gates import PERSON, in_the_way, next_phase
from osc.verbs.standing import Advice, Condition, GateNow

if TYPE_CHECKING:
    from osc.state.changes import Change
    from osc.state.status import ChangeStatus


def next_advice(status: ChangeStatus, condition: Condition, gates: tuple[GateNow, ...]) -> Advice:
    """Return what to type next; an empty command where nothing is to be typed."""
    change = status.change
    match condition:
        case Condition.AMBIGUOUS:
            step = next(row.step for row in status.steps if row.state == "ambiguous")
            command = f"osc resolve {change.id} {step} --happened --reason …   (or --did-not)"
            return Advice(command, "look whether it happened, then say so")
        case Condition.FAILED:
            said = str((change.problem or {}).get("hint") or "mend the cause")
            return Advice(go_on(change), f"first: {said}")
        case Condition.STOPPED:
            return Advice(go_on(change), "nobody leads it; this goes on where it stopped")
        case Condition.PAUSED:
            return Advice(_resume(change), "lifts the pause")
        case Condition.CLOSED:
            return _open(change, gates)
        case Condition.RESTING:
            return _forward(change, gates)
        case Condition.WAITING if not status.leader or not status.leader.alive:
            return Advice(f"{go_on(change)} --if-ready", "time opens it; run this on a schedule")
        case Condition.ROLLED_BACK:
            return Advice("osc apply PLAN", "its id is free again: this begins the next attempt")
        case Condition.DONE:
            return Advice("", "nothing: it is done")
        case _:
            return Advice("", f"nothing: it goes on {_when_freed(status)}")


def _when_freed(status: ChangeStatus) -> str:
    detail = (status.current.detail if status.current is not None and status.current.waiting else None) or {}
    pids = [f"pid {one.get('pid')}" for one in detail.get("blockers") or ()]
    return f"as soon as {', '.join(pids)} lets go" if pids else "by itself"


def go_on(change: Change) -> str:
    """Return the command that goes on with a change that nobody leads."""
    if change.direction == "back" or change.state is State.ROLLING_BACK:
        return f"osc rollback {change.id}" + (f" --to {change.target}" if change.target else "")
    return f"osc advance {change.id}" + ("" if change.target else f" --to {next_phase(change.state) or Phase.EXPAND}")


def _resume(change: Change) -> str:
    scope = change.effective_pause.scope if change.effective_pause else ""
    if scope == "*":
        return "osc resume --all"
    kind, _, name = scope.partition(":")
    return f"osc resume --table {name}" if kind == "table" else f"osc resume {change.id}"


def _open(change: Change, gates: tuple[GateNow, ...]) -> Advice:
    gate = next(gate for gate in in_the_way(gates, change.state) if gate.kind in PERSON)
    return Advice(gate.command, _when(gate))


def _when(gate: GateNow) -> str:
    who = f"when {gate.name} approves" if gate.kind == "approval" else f"once it is true: {gate.name}"
    return f"{who}; {gate.phase} may begin then"


def _forward(change: Change, gates: tuple[GateNow, ...]) -> Advice:
    closed = in_the_way(gates, change.state)
    if any(gate.kind in PERSON for gate in closed):
        return _open(change, gates)
    phase = next_phase(change.state) or Phase.CONTRACT
    if closed:
        return Advice(f"osc advance {change.id} --to {phase} --if-ready", "; ".join(gate.told for gate in closed))
    done = phase_completed(change.state)
    return Advice(f"osc advance {change.id} --to {phase}", f"when you like: {done or 'registration'} is complete")


def way_back(change: Change, program: Program | None) -> Advice:
    """Return how to take the change back, or why that is not possible any more."""
    if change.state is State.ROLLED_BACK:
        return Advice("", "it is rolled back")
    if change.state is State.DONE:
        return Advice("", "none: it is done; undo it by a new plan")
    if change.state in FINAL:
        return Advice("", "none: the first drop has begun; go forward")
    if change.state is State.ROLLING_BACK:
        return Advice(go_on(change), "it is on its way back")
    one_way = program.one_way_after if program else None
    done = phase_completed(change.state)
    if one_way is not None and done is not None and done.order >= one_way.order:
        return Advice("", f"none: the plan declares no way back after {one_way}")
    if done is not None and done.order >= Phase.SWITCH.order:
        return Advice(f"osc rollback {change.id} --to backfill", "makes the old columns the truth again")
    kept = program is not None and any(isinstance(step, FillStep) and step.put_back for step in program.steps())
    told = ", and gives rows that still hold what the fill wrote their old value back" if kept else ""
    return Advice(f"osc rollback {change.id}", f"takes everything back{told}")
