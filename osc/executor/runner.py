"""The runner: takes the lead, walks phases forward or back to what was last wished for, and comes back after lost sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg

from osc.errors import Conflict, Failed, OscError, Unreachable
from osc.executor import entering
from osc.executor.lead import Executor, Lead, Redirected
from osc.executor.stepping import do_step, record_failure, refuse_final, undo_step
from osc.executor.handlers import verify
from osc.failpoints import failpoint
from osc.pg.outcome import session_ended
from osc.program import DdlStep, DropIndexStep, GateStep, Phase, SqlStep, Step, SwitchStep, VerifyStep
from osc.state import changes, events, journal, transitions, verifications
from osc.state.changes import Change
from osc.state.journal import StepRow
from osc.state.transitions import Event, State

Work = Callable[[Lead], Awaitable[None]]


async def run_change(executor: Executor, change: Change, work: Work | None = None) -> Change | None:
    """Lead ``change`` to the target in its row and return it, or return ``None`` while another executor leads.

    Sessions that end are opened anew, under a new epoch: then every statement that may still run is ended first, and
    the journal says what is done (I18). Raises what stopped the change; its row keeps it as ``problem``.
    """
    work = work or _to_target
    for attempt in range(1, executor.settings.leads_max + 1):
        try:
            async with executor.lead(change) as lead:
                if lead is None:
                    return None
                await work(lead)
                return await lead.refresh()
        except (psycopg.Error, OSError, Unreachable) as error:
            if not isinstance(error, Unreachable) and not session_ended(error):
                raise _unexpected(error) from error
            if attempt == executor.settings.leads_max:
                raise Unreachable(
                    "the server went away again and again; the checkpoint is kept",
                    hint=f"osc advance {change.id} goes on where it stopped",
                ) from error
            await executor.clock.sleep(min(0.2 * 2**attempt, executor.settings.transient_pause_max_s))
    raise AssertionError("unreachable")


def _unexpected(error: BaseException) -> OscError:
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    return Failed(f"the server said: {said}; what was begun is rolled back", hint="mend the cause and run the same command again",
                  facts={"sqlstate": getattr(error, "sqlstate", None)})  # fmt: skip


async def _to_target(lead: Lead) -> None:
    while True:
        change = await lead.refresh()
        lead.wished = (change.direction, change.target)
        try:
            if change.direction == "back" or change.state is State.ROLLING_BACK:
                await roll_back(lead, change.target)
            elif change.target is not None:
                await forward(lead, change.target)
            return
        except Redirected:
            continue


async def forward(lead: Lead, target: Phase) -> None:
    """Complete every phase up to ``target``, in order."""
    for phase in target.up_to():
        completed = transitions.phase_completed(lead.change.state)
        if completed is None or completed.order < phase.order:
            await _phase(lead, phase)


async def _phase(lead: Lead, phase: Phase) -> None:
    steps = lead.program.phase(phase).steps
    gates, rest = _leading_gates(steps)
    if transitions.phase_running(lead.change.state) is not phase:
        for gate in gates:
            await _pass_gate(lead, gate)
        await _check_drift(lead, phase)
        await failpoint("phase.before")
        await _move(lead, transitions.begin(phase))
    else:
        await _check_drift(lead, phase)
    lead.report("phase", f"{phase} begins", phase=str(phase))
    await _steps(lead, phase, rest)
    await _move(lead, transitions.complete(phase))
    await failpoint("phase.after")
    lead.report("phase", f"{phase} is complete", phase=str(phase))


def _leading_gates(steps: tuple[Step, ...]) -> tuple[tuple[GateStep, ...], tuple[Step, ...]]:
    gates: list[GateStep] = []
    for step in steps:
        if not isinstance(step, GateStep):
            break
        gates.append(step)
    return tuple(gates), steps[len(gates) :]


async def _pass_gate(lead: Lead, gate: GateStep) -> None:
    await do_step(lead, gate, await _row(lead, gate))


async def _row(lead: Lead, step: Step) -> StepRow:
    return next(row for row in await lead.ask(journal.steps(lead.control, lead.number)) if row.step == step.id)


async def _check_drift(lead: Lead, phase: Phase) -> None:
    try:
        await entering.check(lead, phase)
    except OscError as error:
        await lead.ask(changes.problem(lead.control, lead.number, error.as_json()))
        raise


async def _move(lead: Lead, event: Event) -> None:
    lead.change = await lead.ask(changes.set_state(lead.control, lead.change, event, lead.epoch, who=lead.who))


async def _steps(lead: Lead, phase: Phase, steps: tuple[Step, ...]) -> None:
    final = _first_final(steps) if phase is Phase.CONTRACT else len(steps)
    last_verify = max((n for n, step in enumerate(steps) if isinstance(step, VerifyStep)), default=None)
    for number, step in enumerate(steps):
        if phase is Phase.CONTRACT and number == final:
            await _begin_drop(lead, step)
        if isinstance(step, SwitchStep):
            await ensure_verified(lead)
        await do_step(lead, step, await _row(lead, step))
        if phase is Phase.BACKFILL and number == last_verify and lead.change.filled_at is None:
            await lead.ask(changes.mark_filled(lead.control, lead.number, lead.epoch))
            lead.report("note", "the fill is verified: the new application may read", phase=str(phase))
    if phase is Phase.CONTRACT and final >= len(steps):
        await _begin_drop(lead, None)


def _first_final(steps: tuple[Step, ...]) -> int:
    """Return where contract's drop begins: the first step without a way back, or the wait that stands before it."""
    for number, step in enumerate(steps):
        if isinstance(step, DropIndexStep) or (isinstance(step, DdlStep | SqlStep) and step.undo is None):
            before = steps[number - 1] if number else None
            return number - 1 if isinstance(before, GateStep) else number
    return len(steps)


async def _begin_drop(lead: Lead, step: Step | None) -> None:
    """Cross the line inside contract; the wait of ``keep_for`` stands before it, so that it can still turn back."""
    if lead.change.state is State.RETIRING:
        await _move(lead, Event.COMPLETE_RETIRE)
    if isinstance(step, GateStep):
        await _pass_gate(lead, step)
    if lead.change.state is State.RETIRED:
        await _move(lead, Event.BEGIN_DROP)


async def ensure_verified(lead: Lead) -> None:
    """Verify every table of the plan whose last verdict is stale or bad (I22)."""
    for step in lead.program.phase(Phase.BACKFILL).steps:
        if not isinstance(step, VerifyStep):
            continue
        latest = (await lead.ask(verifications.latest(lead.control, lead.number))).get(step.id)
        fresh = latest is not None and not latest.mismatches and latest.started_s_ago <= lead.settings.verify_fresh_s
        if not fresh:
            lead.report("step", step.title, phase=str(Phase.SWITCH), step=step.id)
            verify.refuse_mismatches(lead, step, await verify.verify(lead, step))


async def verify_change(lead: Lead) -> None:
    """Verify every table of the plan with the names that hold now; raises Refused while rows are out of step."""
    state = lead.change.state
    phase = Phase.CONTRACT if state in (State.SWITCHED, State.RETIRING) else Phase.BACKFILL
    steps = [step for step in lead.program.phase(phase).steps if isinstance(step, VerifyStep)]
    if state not in (State.BACKFILLING, State.BACKFILLED, State.SWITCHING, State.SWITCHED, State.RETIRING):
        raise Conflict(f"{lead.change.id} is {state}: there is nothing to verify now; nothing was changed",
                       hint="verify works from backfill until the old columns are put out of reach")  # fmt: skip
    for step in steps:
        lead.report("step", step.title, phase=str(phase), step=step.id)
        verify.refuse_mismatches(lead, step, await verify.verify(lead, step))


async def roll_back(lead: Lead, target: Phase | None) -> None:
    """Undo every step behind ``target`` (all of them for ``None``), last step first."""
    backwards = await _to_undo(lead, target)
    refuse_final(lead, backwards)
    if lead.change.state is not State.ROLLING_BACK:
        await _check_way_back(lead, backwards)
        await _move(lead, Event.ROLLBACK)
        lead.report("phase", f"rolling back to {target or 'the beginning'}")
    for step, row in backwards:
        await undo_step(lead, step, row)
    await _move(lead, transitions.undo_reached(target) if target else Event.ROLLED_BACK)
    lead.report("phase", f"rolled back to {target or 'the beginning'}")


async def _to_undo(lead: Lead, target: Phase | None) -> list[tuple[Step, StepRow]]:
    rows = {row.step: row for row in await lead.ask(journal.steps(lead.control, lead.number))}
    behind = [step for step in lead.program.steps() if target is None or step.phase.order > target.order]
    return [
        (step, rows[step.id]) for step in reversed(behind) if rows[step.id].state in (*journal.UNDOABLE, "ambiguous")
    ]


async def _check_way_back(lead: Lead, backwards: list[tuple[Step, StepRow]]) -> None:
    """Refuse to undo a switch while rows hold values that the old column cannot; before anything is undone (section 5)."""
    switched = any(isinstance(step, SwitchStep) and row.state == "done" for step, row in backwards)
    if not switched or lead.change.state in (State.RETIRED,):
        return
    if lead.program.one_way_after is not None:
        raise Conflict(
            f"{lead.change.id} has no way back after switch (down: none); nothing was changed", hint="go forward"
        )
    for step in lead.program.phase(Phase.CONTRACT).steps:
        if isinstance(step, VerifyStep):
            verify.refuse_mismatches(lead, step, await verify.verify(lead, step))


async def note_event(lead: Lead, kind: str, data: dict[str, object]) -> None:
    """Record an event of this change."""
    await lead.ask(events.record(lead.control, lead.number, kind, data, who=lead.who, epoch=lead.epoch))


__all__ = ["ensure_verified", "forward", "record_failure", "roll_back", "run_change", "verify_change"]
