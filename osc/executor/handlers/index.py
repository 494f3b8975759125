"""Index builds under supervision: built under a name that carries the epoch, renamed into place in a fenced transaction.

CREATE INDEX CONCURRENTLY cannot be fenced: it is no transaction. So it works on a name that only this epoch uses, and
what is found under such names later is ours: valid, it is taken as it is; a carcass is set aside and dropped.
"""

from __future__ import annotations

import psycopg

from osc.errors import Refused
from osc.executor import reading, working_names
from osc.executor.explaining import explain, said
from osc.executor.handlers.carcass import drop_index, rename_into_place, taken
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.executor.reading import BuiltIndex
from osc.failpoints import failpoint
from osc.pg import activity
from osc.pg.outcome import Outcome, classify, sqlstate_of
from osc.program import DropIndexStep, IndexStep
from osc.redaction import Quoted
from osc.state import journal
from osc.state.journal import StepRow


async def build(lead: Lead, step: IndexStep, row: StepRow) -> None:
    """Build the index; afterwards it is valid, ready, live and has its name, and the step is done.

    Raises Refused for duplicates or for a stranger's object of that name, StepFailed after ``index_attempts_max`` tries.
    """
    for attempt in range(1, lead.settings.index_attempts_max + 1):
        await _refuse_taken(lead, step)
        built = await _find_built(lead, step, row)
        if built is None:
            built = await _try(lead, step, row, last=attempt == lead.settings.index_attempts_max)
        if built is not None:
            await rename_into_place(lead, step, row, built)
            return
        await lead.may_go_on()


async def _refuse_taken(lead: Lead, step: IndexStep) -> None:
    """The name is given in the transaction that ends the step, so before that whoever has it is a stranger."""
    found = await reading.rows(lead, "name_taken", schema=step.table.schema, name=step.name)
    if found[0]["taken"]:
        raise taken(lead, step)


async def _find_built(lead: Lead, step: IndexStep, row: StepRow) -> BuiltIndex | None:
    """Return a finished build of this or an earlier attempt; drop every other one."""
    found = await _ours(lead, step)
    finished = [index for index in found if index.usable]
    for index in found:
        if index not in finished[:1]:
            await drop_index(lead, step, row, index)
    return finished[0] if finished else None


async def _ours(lead: Lead, step: IndexStep | DropIndexStep) -> list[BuiltIndex]:
    return await reading.indexes(lead, step.table, prefix=working_names.prefix(lead.change, step))


async def _try(lead: Lead, step: IndexStep, row: StepRow, *, last: bool) -> BuiltIndex | None:
    name = working_names.building(working_names.prefix(lead.change, step), lead.epoch)
    await _report_snapshots(lead, step)
    await lead.may_go_on()
    await failpoint("build.before")
    try:
        await run_long(lead, row, step.create_sql(name))
    except psycopg.Error as error:
        await _after_failure(lead, step, row, error, last=last)
        return None
    await failpoint("build.after")
    # Never "no error": what the catalog says is whether it was built (F33).
    return await _find_built(lead, step, row)


async def _after_failure(lead: Lead, step: IndexStep, row: StepRow, error: psycopg.Error, *, last: bool) -> None:
    """Drop what a failed build left; return if another attempt makes sense, else raise."""
    outcome = classify(error, during="non_transactional")
    if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
        raise error  # the runner takes the lead anew, and the catalog decides
    for index in await _ours(lead, step):
        if not index.usable:
            await drop_index(lead, step, row, index)
    if sqlstate_of(error) == "23505":
        detail = error.diag.message_detail or ""
        equal = "two rows are equal"
        raise Refused(
            f"index {step.name} cannot be unique: {detail or equal}; the failed build was dropped",
            hint=f"make the rows different, then osc advance {lead.change.id}",
            facts={"sqlstate": "23505", "detail": detail},
            quoted=[Quoted(detail, equal)],
        ) from error
    if outcome is Outcome.DEFINITIVE or last:
        raise explain(step.title, error) from error
    lead.report("note", f"building {step.name} failed and is tried again: {said(error)}", step=step.id)


async def _report_snapshots(lead: Lead, step: IndexStep) -> None:
    """Say beforehand for whom the build will have to wait: it ends only when every older snapshot has."""
    holders = await activity.snapshot_holders(lead.observer, older_than_s=lead.settings.long_holder_s)
    if holders:
        holders = activity.discreetly(holders, redact=lead.settings.redact)
        who = "; ".join(
            f"pid {one.pid} {one.application_name or '?'} ({one.age_s:.0f} s): {one.query}" for one in holders[:3]
        )
        lead.report(
            "waiting", f"the index build will wait for older transactions: {who}", waiting="snapshots", step=step.id
        )


async def undo_build(lead: Lead, step: IndexStep, row: StepRow) -> None:
    """Drop the index that the step made, and whatever unfinished build of it is left; a stranger's is not touched."""
    made = await _made(lead, step, row)
    for index in [*([made] if made else []), *await _ours(lead, step)]:
        if made is None or index is made or index.oid != made.oid:
            await drop_index(lead, step, row, index)
    await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


async def _made(lead: Lead, step: IndexStep, row: StepRow) -> BuiltIndex | None:
    """Return the index of the step: by its oid, or of its name and definition where it was built anew by REINDEX."""
    recorded = row.result or {}
    if "oid" not in recorded:
        return None
    found = await reading.index_by_oid(lead, recorded["oid"])
    if found is not None:
        return found
    named = await reading.indexes(lead, step.table, name=step.name)
    return next((one for one in named if one.definition == recorded.get("definition")), None)


async def drop(lead: Lead, step: DropIndexStep, row: StepRow) -> None:
    """Drop an index of an old column; one that is gone already is dropped.

    Which index it is, is written down before it is touched: a stranger's may have the name later (I28).
    """
    oid = (row.result or {}).get("oid")
    if oid is None:
        named = await reading.indexes(lead, step.table, name=step.name)
        oid = named[0].oid if named else None
        if oid is not None:
            await lead.ask(journal.note(lead.control, lead.number, row.ordinal, lead.epoch, {"oid": oid}))
    index = await reading.index_by_oid(lead, oid) if oid is not None else None
    if index is not None:
        await drop_index(lead, step, row, index)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))
