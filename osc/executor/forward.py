"""Forward: each phase up to the target with its gates, its drift check, its steps and the seam inside contract."""

from __future__ import annotations

from osc.errors import Conflict, GateClosed, TryAgainLater
from osc.executor import entering, grants, postponed
from osc.executor.lead import Lead
from osc.executor.stepping import do_step
from osc.executor.verdicts import ensure_before_switch
from osc.program import DdlStep, DropIndexStep, ForgetStep, GateStep, Phase, SqlStep, Step, VerifyStep
from osc.state import changes, transitions
from osc.state.transitions import Event, State


async def forward(lead: Lead, target: Phase) -> None:
    """Complete every phase up to ``target``, in order."""
    for phase in target.up_to():
        completed = transitions.phase_completed(lead.change.state)
        if completed is None or completed.order < phase.order:
            await _phase(lead, phase)


async def _phase(lead: Lead, phase: Phase) -> None:
    gates, rest = _leading_gates(lead.program.phase(phase).steps)
    if transitions.phase_running(lead.change.state) is not phase:
        await lead.may_go_on()
        for gate in gates:
            await _pass(lead, gate)
        await _refuse_busy_tables(lead, phase)
        await entering.check(lead, phase)
        await grants.refuse_missing(lead, phase)
        if phase is Phase.SWITCH:
            await ensure_before_switch(lead)  # refused here, the change still rests behind backfill
        await move(lead, transitions.begin(phase))
    else:
        await entering.check(lead, phase)
    lead.report("phase", f"{phase} begins", phase=str(phase))
    await _steps(lead, phase, rest)
    await move(lead, transitions.complete(phase))
    lead.report("phase", f"{phase} is complete", phase=str(phase))


async def _pass(lead: Lead, gate: GateStep) -> None:
    try:
        await do_step(lead, gate)
    except (GateClosed, TryAgainLater) as closed:
        if gate.phase is Phase.SWITCH and closed.facts.get("gate") == gate.gate:
            await postponed.before_a_closed_gate(lead, gate)
        raise


def _leading_gates(steps: tuple[Step, ...]) -> tuple[tuple[GateStep, ...], tuple[Step, ...]]:
    gates: list[GateStep] = []
    for step in steps:
        if not isinstance(step, GateStep):
            break
        gates.append(step)
    return tuple(gates), steps[len(gates) :]


async def _refuse_busy_tables(lead: Lead, phase: Phase) -> None:
    """Raise Conflict where another change is under way on a table of ours (F36).

    Registering looks as well, but two plans registered in the same moment do not see each other; here both are there,
    and the younger one gives way.
    """
    if phase is not Phase.EXPAND:
        return
    for other in await lead.ask(changes.open_changes(lead.control)):
        shared = sorted(set(other.tables) & set(lead.change.tables))
        ahead = other.number < lead.number or other.state is not State.REGISTERED
        if other.number != lead.number and shared and ahead:
            raise Conflict(
                f"table {', '.join(shared)} is being changed by {other.id} ({other.state}); nothing was changed",
                hint=f"finish or roll back {other.id} first",
                facts={"change": other.id, "tables": shared},
            )


async def move(lead: Lead, event: Event) -> None:
    """Take the change through ``event``."""
    lead.change = await lead.ask(changes.set_state(lead.control, lead.change, event, lead.epoch, who=lead.who))


async def _steps(lead: Lead, phase: Phase, steps: tuple[Step, ...]) -> None:
    final = _first_final(steps) if phase is Phase.CONTRACT else len(steps)
    last_verify = max((n for n, step in enumerate(steps) if isinstance(step, VerifyStep)), default=None)
    for number, step in enumerate(steps):
        if phase is Phase.CONTRACT and number == final:
            await _begin_drop(lead, step)
        await do_step(lead, step)
        if phase is Phase.BACKFILL and number == last_verify and lead.change.filled_at is None:
            await _mark_filled(lead)
    if phase is Phase.CONTRACT and final >= len(steps):
        await _begin_drop(lead, None)


async def _mark_filled(lead: Lead) -> None:
    await lead.ask(changes.mark_filled(lead.control, lead.number, lead.epoch))
    lead.report("note", "the fill is verified: the new application may read", phase=str(Phase.BACKFILL))


def _first_final(steps: tuple[Step, ...]) -> int:
    """Return where contract's drop begins: the first step without a way back, or the wait that stands before it."""
    for number, step in enumerate(steps):
        if isinstance(step, DropIndexStep | ForgetStep) or (isinstance(step, DdlStep | SqlStep) and step.undo is None):
            before = steps[number - 1] if number else None
            return number - 1 if isinstance(before, GateStep) else number
    return len(steps)


async def _begin_drop(lead: Lead, step: Step | None) -> None:
    """Cross the line inside contract; the wait of ``keep_for`` stands before it, so that it can still turn back."""
    if lead.change.state is State.RETIRING:
        await move(lead, Event.COMPLETE_RETIRE)
    if isinstance(step, GateStep):
        await do_step(lead, step)
    if lead.change.state is State.RETIRED:
        await lead.may_go_on()
        await entering.refuse_dependents(lead)
        await move(lead, Event.BEGIN_DROP)
