"""From what the state says of a change to its Standing: condition, what it waits for, how fast it goes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.errors import Conflict
from osc.program import Phase, Program, Step
from osc.state import samples
from osc.state.transitions import State, phase_completed, phase_running
from osc.verbs.advising import next_advice, way_back
from osc.verbs.documents import plain
from osc.verbs.gates import PERSON, gates_now, in_the_way
from osc.verbs.moving import arrived
from osc.verbs.standing import Condition, GateNow, Progress, Standing, StepNow

if TYPE_CHECKING:
    from datetime import datetime

    from osc.state import slices
    from osc.state.changes import Change
    from osc.state.journal import StepRow
    from osc.state.status import ChangeStatus

PROGRESSING = "index"
"""What the journal has under ``waiting`` while an index is built: it does not wait, it tells how far it is."""


def judge(status: ChangeStatus, now: datetime) -> Standing:
    """Return where the change stands at ``now``, the database's time."""
    change = status.change
    program, damage = _program(change)
    gates = gates_now(status, program, now) if program else ()
    condition = _condition(status, gates)
    step = _step_now(status, program)
    return Standing(
        id=change.id,
        attempt=change.attempt,
        revision=change.revision,
        title=change.title,
        owner=change.owner,
        tables=change.tables,
        state=str(change.state),
        since=change.state_since,
        condition=condition,
        phase=phase_running(change.state) or phase_completed(change.state),
        phases=_phases(status),
        target=change.target,
        direction=change.direction,
        step=step,
        steps_done=status.steps_done,
        steps_total=len(status.steps),
        progress=_progress(status, program),
        waiting="; ".join(filter(None, (_waiting(status, gates, condition), *_out_of_step(status)))),
        blockers=_blockers(status.current),
        pause=plain(change.effective_pause),
        problem=change.problem or damage,
        gates=gates,
        leader=_leader(status),
        filled_at=change.filled_at,
        verified=_verified(status),
        sampled=_sampled(status, now),
        new_application_from=program.new_application_from if program else "",
        old_application_until=program.old_application_until if program else "",
        point_of_no_return=_point(program),
        next=next_advice(status, condition, gates),
        way_back=way_back(change, program),
        notes=program.notes if program else (),
        reasons=_reasons(status.current) if _waits(status.current) else (),
    )


def _program(change: Change) -> tuple[Program | None, dict[str, Any] | None]:
    try:
        return change.program(), None
    except Conflict as error:
        return None, error.as_json()


def led(status: ChangeStatus) -> bool:
    """Tell whether a living executor leads the change."""
    return status.leader is not None and status.leader.alive


def _condition(status: ChangeStatus, gates: tuple[GateNow, ...]) -> Condition:
    change = status.change
    if change.state in (State.DONE, State.ROLLED_BACK):
        return Condition.DONE if change.state is State.DONE else Condition.ROLLED_BACK
    if any(row.state == "ambiguous" for row in status.steps):
        return Condition.AMBIGUOUS
    if change.problem is not None and not led(status):
        return Condition.FAILED
    if change.effective_pause is not None:
        return Condition.PAUSED
    if led(status):
        return Condition.WAITING if _waits(status.current) else Condition.RUNNING
    if arrived(change):
        return Condition.RESTING
    return _held_up(gates, change)


def _held_up(gates: tuple[GateNow, ...], change: Change) -> Condition:
    closed = in_the_way(gates, change.state) if change.direction == "forward" else ()
    if any(gate.kind in PERSON for gate in closed):
        return Condition.CLOSED
    return Condition.WAITING if closed else Condition.STOPPED


def _waits(row: StepRow | None) -> bool:
    return row is not None and row.waiting is not None and row.waiting != PROGRESSING


def _step_now(status: ChangeStatus, program: Program | None) -> StepNow | None:
    row = status.current
    if row is None or (row.kind == "gate" and row.state == "started"):
        return None  # a gate that was looked at is told with the gates
    step = _step(program, row.step)
    return StepNow(row.step, step.title if step else row.step, row.phase, row.state, row.attempts, row.started_at)


def _step(program: Program | None, step_id: str) -> Step | None:
    return next((step for step in program.steps() if step.id == step_id), None) if program else None


def _phases(status: ChangeStatus) -> dict[str, str]:
    words = {}
    for phase in Phase:
        times = status.phases.get(phase)
        words[str(phase)] = "ahead" if times is None else "complete" if times.completed_at else "running"
    return words


def _progress(status: ChangeStatus, program: Program | None) -> Progress | None:
    """Return how far the running step is: a fill by its slices, anything else by what its executor told last."""
    row = status.current
    if row is None or row.state != "started":
        return None
    told = row.progress or {}
    is_going = led(status) and status.change.effective_pause is None and not _waits(row)
    rate = told.get("rate") if is_going else None
    sums = status.progress.get(row.step)
    if sums is not None:
        return _of_fill(sums, row.step, _rows_estimate(program, row.step), rate)
    if not told:
        return None
    done, total = int(told["done"] or 0), told["total"]
    return Progress(
        row.step, told["unit"], done, total, rate, _left_s(done, total, rate), phase=told["phase"],
        mismatches=told["mismatches"],
    )  # fmt: skip


def _of_fill(sums: slices.Progress, step: str, estimate: int, rate: float | None) -> Progress:
    total = max(estimate, sums.rows_seen) if estimate else None
    hot_share = round(sums.rows_hot / sums.rows_waved, 3) if sums.rows_waved else None
    return Progress(
        step, "rows", sums.rows_seen, total, rate, _left_s(sums.rows_seen, total, rate), sums.rows_filled,
        sums.rows_skipped, sums.rows_poison, sums.lanes, sums.walk, sums.waves, sums.waves_rest, hot_share,
    )  # fmt: skip


def _left_s(done: int, total: int | None, rate: float | None) -> float | None:
    """Return the time left; where an estimate was too low nobody knows how much is left, and the answer is not 0 s."""
    return (total - done) / rate if total and total > done and rate else None


def _rows_estimate(program: Program | None, step_id: str) -> int:
    step = _step(program, step_id)
    if program is None or step is None:
        return 0
    table = program.phase(step.phase).expects.table(step.table) if hasattr(step, "table") else None
    return table.rows_estimate if table else 0


def _waiting(status: ChangeStatus, gates: tuple[GateNow, ...], condition: Condition) -> str:
    change, row = status.change, status.current
    if change.effective_pause is not None:
        pause = change.effective_pause
        return f"paused by {pause.by}" + (f": {pause.reason}" if pause.reason else "")
    if _waits(row) and row is not None:
        return _row_waits(row)
    closed = in_the_way(gates, change.state)
    if condition in (Condition.CLOSED, Condition.WAITING) and closed:
        return "; ".join(f"{gate.kind} {gate.name}: {gate.told}" for gate in closed)
    return ""


def _row_waits(row: StepRow) -> str:
    detail = row.detail or {}
    match row.waiting:
        case "lock":
            reason = _REASONS.get(
                str(detail.get("reason")), str(detail.get("reason") or "the lock was not had in time")
            )
            return f"a lock: {reason}"
        case "throttle":
            return f"held back: {'; '.join(_reasons(row))}"
        case "rows":
            return f"{detail.get('rows_locked', 'some')} rows are locked by others; everything else is filled"
        case _:
            return f"{row.waiting}"


def _reasons(row: StepRow | None) -> tuple[str, ...]:
    detail = row.detail if row is not None and row.waiting == "throttle" else None
    return tuple(map(str, (detail or {}).get("reasons", ())))


_REASONS = {
    "long_holder": "a long transaction holds the table",
    "wraparound": "a vacuum to prevent wraparound holds the table",
    "budget": "the lock budget of the table is spent for now",
    "lock_timeout": "the lock was not had in time",
    "overrun": "the statement took too long under its lock",
}


def _blockers(row: StepRow | None) -> tuple[dict[str, Any], ...]:
    detail = row.detail if row is not None and _waits(row) else None
    return tuple((detail or {}).get("blockers") or ())


def _leader(status: ChangeStatus) -> str:
    leader = status.leader
    if leader is None or not leader.alive:
        return ""
    return f"{leader.kind} on {leader.host} (pid {leader.pid})"


def _verified(status: ChangeStatus) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"step": one.step, "rows": one.rows, "mismatches": one.mismatches, "started_s_ago": round(one.started_s_ago)}
        for one in status.verifications.values()
    )


def _sampled(status: ChangeStatus, now: datetime) -> tuple[dict[str, Any], ...]:
    """Return what the last sample saw, while the change waits in front of its switch."""
    last = samples.last(status.steps) if status.change.state in (State.BACKFILLED, State.SWITCHING) else None
    at, seen = last or (now, ())
    return tuple({**plain(one), "sampled_s_ago": round((now - at).total_seconds())} for one in seen)


def _out_of_step(status: ChangeStatus) -> list[str]:
    """Return what a sample found out of step and no verification has found mended since."""
    if status.change.state not in (State.BACKFILLED, State.SWITCHING):
        return []
    bad = {one.step for one in status.verifications.values() if one.mismatches}
    _, seen = samples.last(status.steps) or (None, ())
    return [str(one) for one in seen if one.mismatches and one.step in bad]


def _point(program: Program | None) -> str:
    if program is None:
        return ""
    if program.one_way_after is not None:
        return f"the end of {program.one_way_after}"
    step = _step(program, program.point_of_no_return)
    return step.title if step else program.point_of_no_return
