"""One step: its row in the journal, its handler, and what is recorded when it fails."""

from __future__ import annotations

from typing import assert_never

from osc.errors import Conflict, OscError, OutcomeUnknown, Refused
from osc.executor.handlers import fill, gate, index, maintenance, transaction, verify
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.program import (
    AnalyzeStep,
    DdlStep,
    DropIndexStep,
    FillStep,
    GateStep,
    IndexStep,
    ProbeStep,
    SqlStep,
    Step,
    SwitchStep,
    ValidateStep,
    VerifyStep,
)
from osc.state import changes, journal
from osc.state.journal import StepRow


async def do_step(lead: Lead, step: Step, row: StepRow) -> None:
    """Take ``step`` from wherever it is to done; one that is done is left alone."""
    if row.state == "done":
        return
    if row.state == "ambiguous":
        raise ambiguous(lead, row)
    await lead.may_go_on()
    row = await lead.ask(journal.start(lead.control, lead.number, row.ordinal, lead.epoch))
    await failpoint("step.started")
    lead.report("step", step.title, phase=str(step.phase), step=step.id)
    try:
        await _do(lead, step, row)
    except OscError as error:
        await record_failure(lead, row, error)
        raise
    await failpoint("step.done")


async def _do(lead: Lead, step: Step, row: StepRow) -> None:
    match step:
        case DdlStep(sql=()):
            await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))
        case DdlStep() | SqlStep() | SwitchStep():
            await transaction.do(lead, step, row)
        case IndexStep():
            await index.build(lead, step, row)
        case DropIndexStep():
            await index.drop(lead, step, row)
        case FillStep():
            await fill.do(lead, step, row)
        case VerifyStep():
            await verify.do(lead, step, row)
        case ValidateStep():
            await maintenance.validate(lead, step, row)
        case AnalyzeStep():
            await maintenance.analyze(lead, step, row)
        case ProbeStep():
            await maintenance.probe(lead, step, row)
        case GateStep():
            await gate.do(lead, step, row)
        case _:
            assert_never(step)
    await failpoint("step.after")


async def undo_step(lead: Lead, step: Step, row: StepRow) -> None:
    """Take ``step`` back; one that left nothing behind is marked only."""
    if row.state == "ambiguous":
        raise ambiguous(lead, row)
    if row.state not in journal.UNDOABLE:
        return
    await lead.may_go_on()
    happened = row.state in ("done", "undoing")
    row = await lead.ask(journal.begin_undo(lead.control, lead.number, row.ordinal, lead.epoch))
    await failpoint("undo.before")
    lead.report("step", f"Undo: {step.title}", phase=str(step.phase), step=step.id)
    try:
        await _undo(lead, step, row, happened=happened)
    except OscError as error:
        await record_failure(lead, row, error)
        raise
    await failpoint("undo.after")


async def _undo(lead: Lead, step: Step, row: StepRow, *, happened: bool) -> None:
    match step:
        case DdlStep() | SqlStep() | SwitchStep() if happened and step.undo:
            await transaction.undo(lead, step, row)
        case IndexStep():
            await index.undo_build(lead, step, row)
        case FillStep():
            await fill.undo(lead, step, row)
        case _:
            # A transaction that did not commit left nothing; gates, verdicts and statistics are not taken back.
            await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


def refuse_final(lead: Lead, steps: list[tuple[Step, StepRow]]) -> None:
    """Raise Conflict if one of ``steps`` was done and has no way back; to be asked before anything is undone."""
    for step, row in steps:
        final = isinstance(step, DropIndexStep) or (
            isinstance(step, DdlStep | SqlStep | SwitchStep) and step.undo is None
        )
        if final and row.state in ("done", "started", "ambiguous"):
            raise Conflict(
                f"{lead.change.id} cannot go back behind this step, which has no undo: {step.title}; nothing was changed",
                hint="go forward (osc advance), or mend by a new plan",
                facts={"step": step.id},
            )


def ambiguous(lead: Lead, row: StepRow) -> OscError:
    """Return the error for a step of which nobody knows whether it happened."""
    return OutcomeUnknown(
        f"whether step {row.step} of {lead.change.id} happened is not known; nothing goes on until a person has looked",
        hint=f"osc resolve {lead.change.id} {row.step} --happened|--did-not --reason …",
        facts={"step": row.step},
    )


async def record_failure(lead: Lead, row: StepRow, error: OscError) -> None:
    """Keep the error with the step and the change; a refusal by the data is a failure of the step, too."""
    if error.exit_code in (4, 75) and not isinstance(error, Refused):
        return  # a closed gate or a lost lease is no failure
    told = error.as_json()
    await lead.ask(journal.fail(lead.control, lead.number, row.ordinal, lead.epoch, told))
    await lead.ask(changes.problem(lead.control, lead.number, {**told, "step": row.step}))
