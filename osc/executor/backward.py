"""Backward: steps are undone last first, to a phase that was complete or to the very beginning."""

from __future__ import annotations

from osc.errors import Conflict
from osc.executor import entering, verdicts
from osc.executor.forward import move
from osc.executor.lead import Lead
from osc.executor.stepping import do_step, refuse_final, undo_step
from osc.program import DdlStep, Phase, Step, SwitchStep
from osc.state import journal, transitions
from osc.state.journal import StepRow
from osc.state.transitions import Event, State


async def roll_back(lead: Lead, target: Phase | None) -> None:
    """Undo every step behind ``target`` (all of them for ``None``), last step first.

    Before anything is undone: Conflict where there is no way back, Refused while rows hold values that the old
    column cannot.
    """
    if target is not None and transitions.rests_at(lead.change.state) is target and not await _to_undo(lead, target):
        return
    await _refuse_skipped(lead, target)
    backwards = await _to_undo(lead, target)
    refuse_final(lead, backwards)
    _refuse_one_way(lead, backwards)
    lead.gone = await entering.find_tables(lead)
    if lead.change.state is not State.ROLLING_BACK:
        if lead.change.state is State.SWITCHED and target in (None, *Phase.BACKFILL.up_to()) and not lead.gone:
            await verdicts.verify_now(lead, Phase.CONTRACT)
        await _prepare_way_back(lead, target)
        backwards = await _to_undo(lead, target)
        await move(lead, Event.ROLLBACK)
        lead.report("phase", f"rolling back to {target or 'the beginning'}")
    await _undo(lead, [step for step, _ in backwards], _switched(backwards))
    await move(lead, transitions.undo_reached(target) if target else Event.ROLLED_BACK)
    lead.report("phase", f"rolled back to {target or 'the beginning'}")


async def _prepare_way_back(lead: Lead, target: Phase | None) -> None:
    """Count as done the steps behind a switch that only their undo needs, where the switch is done and they are not yet.

    They do nothing forward, so between its commit and their rows a process can end or be turned round; its undo relies
    on theirs (the old column's rules, added and validated again). Before the change is marked as rolling back, since
    after that a step found undone has been undone.
    """
    rows = {row.step: row.state for row in await lead.ask(journal.steps(lead.control, lead.number))}
    behind = [step for step in lead.program.steps() if target is None or step.phase.order > target.order]
    if not any(isinstance(step, SwitchStep) and rows[step.id] == "done" for step in behind):
        return
    for step in behind:
        if isinstance(step, DdlStep) and not step.sql and rows[step.id] not in ("done", "undoing", "ambiguous"):
            await do_step(lead, step)


async def _undo(lead: Lead, steps: list[Step], switched: bool) -> None:
    for step in steps:
        if switched and step.phase is Phase.SWITCH and not lead.gone:
            # Contract is undone, so the columns have the names that its verification knows, and `--to switch` still
            # leads forward again if it refuses.
            await verdicts.ensure_way_back(lead)
            switched = False
        await undo_step(lead, step)


async def _to_undo(lead: Lead, target: Phase | None) -> list[tuple[Step, StepRow]]:
    rows = {row.step: row for row in await lead.ask(journal.steps(lead.control, lead.number))}
    behind = [step for step in lead.program.steps() if target is None or step.phase.order > target.order]
    return [
        (step, rows[step.id]) for step in reversed(behind) if rows[step.id].state in (*journal.UNDOABLE, "ambiguous")
    ]


async def _refuse_skipped(lead: Lead, target: Phase | None) -> None:
    """Raise Conflict if an earlier rollback has already gone behind ``target``, which therefore is not there any more."""
    if target is None:
        return
    kept = {step.id for step in lead.program.steps() if step.phase.order <= target.order}
    gone = [
        row.step
        for row in await lead.ask(journal.steps(lead.control, lead.number))
        if row.step in kept and row.state != "done"
    ]
    if gone:
        raise Conflict(
            f"{lead.change.id} is already behind {target}: {gone[0]} is not done (any more); nothing was changed",
            hint=f"osc rollback {lead.change.id} goes on to the beginning, or name an earlier phase",
            facts={"steps": gone},
        )


def _switched(backwards: list[tuple[Step, StepRow]]) -> bool:
    return any(isinstance(step, SwitchStep) and row.state == "done" for step, row in backwards)


def _refuse_one_way(lead: Lead, backwards: list[tuple[Step, StepRow]]) -> None:
    if lead.program.one_way_after is Phase.SWITCH and _switched(backwards):
        raise Conflict(
            f"{lead.change.id} has no way back after switch (down: none); nothing was changed", hint="go forward"
        )
