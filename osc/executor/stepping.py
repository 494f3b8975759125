"""One step: its row in the journal, its handler, and what is recorded when it fails."""

from __future__ import annotations

from typing import TypeGuard, assert_never

import psycopg

from osc.catalog.effects import AddConstraint
from osc.errors import Conflict, OscError, OutcomeUnknown, Refused, StepFailed
from osc.executor import entering, postponed, verdicts
from osc.executor.explaining import mends_itself
from osc.executor.handlers import fill, forget, gate, index, maintenance, outside, transaction, verify
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.program import (
    AnalyzeStep,
    DdlStep,
    DropIndexStep,
    FillStep,
    ForgetStep,
    GateStep,
    IndexStep,
    Phase,
    ProbeStep,
    SqlStep,
    Step,
    SwitchStep,
    ValidateStep,
    VerifyStep,
)
from osc.state import journal, verifications
from osc.state.journal import StepRow

NO_FAILURE = frozenset({4, 75, 129, 130, 143})
"""Exit codes of what ends a command and is nobody's fault: a closed gate, time, a lost lease, a signal."""


async def do_step(lead: Lead, step: Step) -> None:
    """Take ``step`` from wherever it is to done; one that is done is left alone."""
    row = await _row(lead, step)
    if row.state == "done":
        return
    if row.state == "ambiguous":
        raise ambiguous(lead, row)
    if _may_have_happened(step, row):
        raise await _unknown(lead, row)
    await lead.may_go_on()
    row = await lead.ask(journal.start(lead.control, lead.number, row.ordinal, lead.epoch))
    lead.begins(row)
    lead.report("step", step.title, phase=str(step.phase), step=step.id)
    try:
        await _do(lead, step, row)
    except (OscError, psycopg.Error) as error:
        told = await _failed(lead, step, row, error)
        if isinstance(step, ValidateStep) and isinstance(error, Refused):
            await _take_back_unproven(lead, step)
        raise told from error


async def _take_back_unproven(lead: Lead, step: ValidateStep) -> None:
    """Take away a constraint that rows break: NOT VALID it would refuse every later write of such a row (F50).

    The verification of the table is to be taken again as well: that is what sends such rows back to the fill.
    """
    for before in reversed(lead.program.phase(step.phase).steps):
        adds = isinstance(before, DdlStep) and any(
            isinstance(one, AddConstraint) and (one.table, one.constraint.name) == (step.table, step.constraint)
            for one in before.effects
        )
        if adds or (isinstance(before, VerifyStep) and before.table == step.table):
            await undo_step(lead, before)


async def _row(lead: Lead, step: Step) -> StepRow:
    return next(row for row in await lead.ask(journal.steps(lead.control, lead.number)) if row.step == step.id)


async def _do(lead: Lead, step: Step, row: StepRow) -> None:
    match step:
        case DdlStep(sql=()):
            await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))
        case SwitchStep():
            await _switch(lead, step, row)
        case SqlStep(transaction=False):
            await outside.do(lead, step, row)
        case DdlStep() | SqlStep():
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
        case ForgetStep():
            await forget.do(lead, step, row)
        case GateStep():
            await gate.do(lead, step, row)
        case _:
            assert_never(step)


async def _switch(lead: Lead, step: SwitchStep, row: StepRow) -> None:
    async with postponed.before_a_lock(lead, row) as turns:

        async def ready(lead: Lead) -> None:
            await turns.take()
            await verdicts.ensure_before_switch(lead)

        await transaction.do(lead, step, row, ready)


async def undo_step(lead: Lead, step: Step) -> None:
    """Take ``step`` back; one that left nothing behind is marked only."""
    row = await _row(lead, step)
    if row.state == "ambiguous":
        raise ambiguous(lead, row)
    if row.state not in journal.UNDOABLE:
        return
    if row.state == "failed" and _is_outside(step):
        row = await lead.ask(
            journal.start(lead.control, lead.number, row.ordinal, lead.epoch)
        )  # part of it may be done
    if _may_have_happened(step, row):
        raise await _unknown(lead, row)
    await lead.may_go_on()
    lead.report("step", f"Undo: {step.title}", phase=str(step.phase), step=step.id)
    await failpoint("undo.before")
    if isinstance(step, DdlStep | SqlStep | SwitchStep) and row.state in ("started", "failed"):
        # Its row would be done had its transaction committed, so nothing of it is there.
        await lead.ask(journal.drop_attempt(lead.control, lead.number, row.ordinal, lead.epoch))
    else:
        await _undo_what_happened(lead, step, row)
    await failpoint("undo.after")


async def _undo_what_happened(lead: Lead, step: Step, row: StepRow) -> None:
    row = await lead.ask(journal.begin_undo(lead.control, lead.number, row.ordinal, lead.epoch))
    lead.begins(row)
    try:
        await _undo(lead, step, row)
    except (OscError, psycopg.Error) as error:
        raise await _failed(lead, step, row, error) from error


async def _undo(lead: Lead, step: Step, row: StepRow) -> None:
    match step:
        case IndexStep() if step.table in lead.gone:
            await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))
        case SwitchStep() if step.undo:
            await transaction.undo(lead, step, row, verdicts.ensure_way_back if not lead.gone else None)
            await verdicts.forget(lead, Phase.BACKFILL)
        case SqlStep(transaction=False) if step.undo:
            await outside.undo(lead, step, row)
        case DdlStep() | SqlStep() if step.undo:
            await transaction.undo(lead, step, row)
        case IndexStep():
            await index.undo_build(lead, step, row)
        case FillStep():
            await fill.undo(lead, step, row)
        case VerifyStep():
            await lead.ask(verifications.outdate(lead.control, lead.number, step.id))
            await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))
        case _:
            # Gates, statistics and what a probe saw are not taken back.
            await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


def refuse_final(lead: Lead, steps: list[tuple[Step, StepRow]]) -> None:
    """Raise Conflict if one of ``steps`` was done and has no way back; to be asked before anything is undone."""
    for step, row in steps:
        if _has_no_way_back(step, row):
            raise Conflict(
                f"{lead.change.id} cannot go back behind this step, which has no undo: {step.title}; nothing was changed",
                hint="go forward (osc advance), or mend by a new plan",
                facts={"step": step.id},
            )


def _has_no_way_back(step: Step, row: StepRow) -> bool:
    if isinstance(step, DropIndexStep | ForgetStep) or (_is_outside(step) and step.undo is None):
        return row.state in ("done", "started", "failed", "ambiguous")  # it commits by itself on its way
    return isinstance(step, DdlStep | SqlStep | SwitchStep) and step.undo is None and row.state in ("done", "ambiguous")


def _is_outside(step: Step) -> TypeGuard[SqlStep]:
    """Tell whether it is a statement of the author outside of a transaction, which commits by itself."""
    return isinstance(step, SqlStep) and not step.transaction


def _may_have_happened(step: Step, row: StepRow) -> bool:
    """Tell whether an earlier process left the step open, and neither its row nor the catalog says how it ended."""
    # Of an undo that the server answered with an error the row keeps the error; a step that failed so is `failed`.
    is_open = row.state == "started" or (row.state == "undoing" and row.error is None)
    return _is_outside(step) and is_open


async def _unknown(lead: Lead, row: StepRow) -> OscError:
    """Mark the step ambiguous and return the error: every session that could still run it has been ended before."""
    lost = {"message": "the reply was lost", "was": row.state}
    await lead.ask(journal.ambiguous(lead.control, lead.number, row.ordinal, lead.epoch, lost))
    return ambiguous(lead, row)


async def refuse_ambiguous(lead: Lead) -> None:
    """Raise OutcomeUnknown if nobody knows of a step whether it happened: before anything else is looked at or done."""
    for row in await lead.ask(journal.steps(lead.control, lead.number)):
        if row.state == "ambiguous":
            raise ambiguous(lead, row)


def ambiguous(lead: Lead, row: StepRow) -> OscError:
    """Return the error for a step of which nobody knows whether it happened."""
    return OutcomeUnknown(
        f"whether step {row.step} of {lead.change.id} happened is not known; nothing goes on until a person has looked",
        hint=f"osc resolve {lead.change.id} {row.step} --happened|--did-not --reason ...",
        facts={"step": row.step},
    )


async def _failed(lead: Lead, step: Step, row: StepRow, error: Exception) -> Exception:
    """Return the error to raise: where the server or a guard said no, what somebody changed meanwhile may be the reason."""
    if isinstance(error, psycopg.Error) and mends_itself(error):
        return error
    if isinstance(error, psycopg.Error) or type(error) in (StepFailed, Conflict):
        error = await entering.why(lead, step.phase, error)
    if isinstance(error, OscError):
        await _record_failure(lead, row, error)
    return error


async def _record_failure(lead: Lead, row: StepRow, error: OscError) -> None:
    """Keep the error with the step; the runner keeps it with the change, and in the history."""
    if error.exit_code not in NO_FAILURE:
        error.facts.setdefault("step", row.step)
        told = error.redacted() if lead.settings.redact else error
        await lead.ask(journal.fail(lead.control, lead.number, row.ordinal, lead.epoch, told.as_kept()))
