"""Index builds under supervision: built under a name that carries the epoch, renamed into place in a fenced transaction.

CREATE INDEX CONCURRENTLY cannot be fenced: it is no transaction. So it works on a name that only this epoch uses, and
what is found under such names later is ours: valid, it is taken as it is; a carcass is set aside and dropped.
"""

from __future__ import annotations

import psycopg

from osc.errors import Conflict, Refused, StepFailed
from osc.executor import reading
from osc.executor.handlers.transaction import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.executor.reading import BuiltIndex
from osc.failpoints import failpoint
from osc.names import QName, literal, quote, short_hash
from osc.pg import activity
from osc.pg.outcome import Outcome, classify, sqlstate_of
from osc.pg.session import backend_of, run
from osc.program import DropIndexStep, IndexStep
from osc.sql.message import transaction_message
from osc.state import journal
from osc.state.journal import StepRow


async def build(lead: Lead, step: IndexStep, row: StepRow) -> None:
    """Build the index; afterwards it is valid, ready, live and has its name, and the step is done.

    Raises Refused for duplicates or for a stranger's index of that name, StepFailed after ``index_attempts_max`` tries.
    """
    for attempt in range(1, lead.settings.index_attempts_max + 1):
        built = await _find_built(lead, step)
        if built is None:
            built = await _try(lead, step, row, last=attempt == lead.settings.index_attempts_max)
        if built is not None:
            await _rename_into_place(lead, step, row, built)
            return
        await lead.may_go_on()


def working_name(lead: Lead, step: IndexStep) -> str:
    """Return the name this epoch builds under."""
    return f"{_prefix(lead, step)}e{lead.epoch}"


def _prefix(lead: Lead, step: IndexStep | DropIndexStep) -> str:
    """Return what every name of ours for this step begins with: change and definition, so that nothing else matches."""
    definition = f"{step.unique} {step.on}" if isinstance(step, IndexStep) else step.name
    return f"osc_ix_{short_hash(lead.change.id, str(lead.number), step.id, definition)}_"


async def _find_built(lead: Lead, step: IndexStep) -> BuiltIndex | None:
    """Return a finished build of an earlier attempt; drop carcasses; refuse a stranger's object."""
    found = await reading.indexes(lead, step.table, name=step.name, prefix=_prefix(lead, step))
    if any(index.name == step.name for index in found):
        raise Refused(
            f"index {step.name} on {step.table} exists and is not ours; it was not touched",
            hint=f"drop or rename it, then osc advance {lead.change.id}",
        )
    finished = [index for index in found if index.usable]
    for index in found:
        if index not in finished[:1]:
            await drop_carcass(lead, step.table, index, _prefix(lead, step))
    return finished[0] if finished else None


async def _try(lead: Lead, step: IndexStep, row: StepRow, *, last: bool) -> BuiltIndex | None:
    name = working_name(lead, step)
    await _report_snapshots(lead, step, row)
    await failpoint("index.before_build")
    try:
        await run_long(lead, step.create_sql(name), watch=await _watcher(lead, step, row))
    except psycopg.Error as error:
        if not await _after_failure(lead, step, error, last=last):
            raise
        return None
    await failpoint("index.after_build")
    return await _find_built(lead, step)


async def _after_failure(lead: Lead, step: IndexStep, error: psycopg.Error, *, last: bool) -> bool:
    """Clean up after a build that failed; return whether another attempt makes sense."""
    outcome = classify(error, during="non_transactional")
    if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
        return False
    for index in await reading.indexes(lead, step.table, name="", prefix=_prefix(lead, step)):
        if not index.usable:
            await drop_carcass(lead, step.table, index, _prefix(lead, step))
    if sqlstate_of(error) == "23505":
        detail = error.diag.message_detail or ""
        raise Refused(
            f"index {step.name} cannot be unique: {detail or 'two rows are equal'}; the failed build was dropped",
            hint=f"make the rows different, then osc advance {lead.change.id}",
            facts={"sqlstate": "23505", "detail": detail},
        ) from error
    if outcome is Outcome.DEFINITIVE or last:
        raise explain(step.title, error) from error
    lead.report("note", f"building {step.name} failed and is tried again: {error.diag.message_primary}", step=step.id)
    return True


async def drop_carcass(lead: Lead, table: QName, index: BuiltIndex, prefix: str) -> None:
    """Drop an index of ours that is of no use, concurrently, after setting it aside in a fenced transaction.

    Without that a zombie's DROP INDEX by name could hit the good index of a successor (rationale.md 13).
    """
    aside = index.name
    if not index.name.endswith(f"_dead{lead.epoch}"):
        aside = f"{prefix}{index.oid}_dead{lead.epoch}"
        await _fenced(lead, f"ALTER INDEX {QName(table.schema, index.name).sql} RENAME TO {quote(aside)}")
    await failpoint("index.before_drop")
    await run_long(lead, f"DROP INDEX CONCURRENTLY {QName(table.schema, aside).sql}")
    await failpoint("index.after_drop")


async def _fenced(lead: Lead, sql: str) -> None:
    """Run a statement that takes no lock on the table, in a transaction that proves the epoch by the lease."""
    fence = (
        f"PERFORM FROM osc.lease WHERE change = {lead.number} AND epoch = {lead.epoch} FOR SHARE;\n"
        "IF NOT FOUND THEN\n    RAISE EXCEPTION USING ERRCODE = 'OSC01', MESSAGE = 'fenced: another executor leads';\nEND IF"
    )
    message = transaction_message(locks=(), sql=(sql,), fence=fence, lock_timeout_ms=lead.settings.weak_lock_timeout_ms)
    await run(lead.work, message, deadline_s=lead.settings.query_deadline_s)


async def _rename_into_place(lead: Lead, step: IndexStep, row: StepRow, built: BuiltIndex) -> None:
    schema = step.table.schema
    target = QName(schema, step.name)
    sql = [f"ALTER INDEX {QName(schema, built.name).sql} RENAME TO {quote(step.name)}"]
    if step.comment is not None:
        sql.append(f"COMMENT ON INDEX {target.sql} IS {literal(step.comment)}")
    result = f"pg_catalog.jsonb_build_object('oid', {built.oid}, 'definition', pg_catalog.pg_get_indexdef({built.oid}))"
    fence = journal.fence_fragment(
        lead.number, row.ordinal, lead.epoch, from_states=("started",), to_state="done", result_sql=result
    )
    await failpoint("index.before_rename")
    while True:
        try:
            message = transaction_message(
                locks=(), sql=sql, fence=fence, lock_timeout_ms=lead.settings.weak_lock_timeout_ms
            )
            await run(lead.work, message, deadline_s=lead.settings.query_deadline_s)
            break
        except psycopg.Error as error:
            outcome = classify(error, during="transaction")
            if outcome not in (Outcome.PAUSED, Outcome.TRANSIENT, Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED):
                if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
                    raise
                raise explain(step.title, error) from error
            await lead.clock.sleep(lead.settings.transient_pause_first_s)
            await lead.may_go_on()
    await failpoint("index.after_rename")


async def _report_snapshots(lead: Lead, step: IndexStep, row: StepRow) -> None:
    """Say beforehand for whom the build will have to wait: it ends only when every older snapshot has."""
    holders = await activity.snapshot_holders(lead.observer, older_than_s=lead.settings.long_holder_s)
    if holders:
        who = "; ".join(
            f"pid {one.pid} {one.application_name or '?'} ({one.age_s:.0f} s): {one.query}" for one in holders[:3]
        )
        lead.report(
            "waiting", f"the index build will wait for older transactions: {who}", waiting="snapshots", step=step.id
        )


async def _watcher(lead: Lead, step: IndexStep, row: StepRow):  # type: ignore[no-untyped-def]
    backend = await backend_of(lead.work, deadline_s=lead.settings.query_deadline_s)

    async def watch() -> None:
        progress = await activity.index_progress(lead.observer, backend.pid)
        if progress is None:
            return
        waits = progress.current_locker_pid
        detail = {"phase": progress.phase, "blocks_done": progress.blocks_done, "blocks_total": progress.blocks_total,
                  "tuples_done": progress.tuples_done, "tuples_total": progress.tuples_total, "waits_for_pid": waits}  # fmt: skip
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, "index", detail))
        message = f"{step.name}: {progress.phase}" + (f", waiting for pid {waits}" if waits else "")
        lead.report("progress", message, step=step.id, done=progress.blocks_done, total=progress.blocks_total or None)

    return watch


async def undo_build(lead: Lead, step: IndexStep, row: StepRow) -> None:
    """Drop the index that the step made, and whatever unfinished build of it is left; a stranger's is not touched."""
    oid = (row.result or {}).get("oid")
    if oid is not None:
        found = await reading.rows(lead, "by_oid", oid=oid)
        if found:
            index = BuiltIndex(oid, found[0]["name"], found[0]["usable"], "")
            await drop_carcass(lead, step.table, index, _prefix(lead, step))
    for index in await reading.indexes(lead, step.table, name="", prefix=_prefix(lead, step)):
        await drop_carcass(lead, step.table, index, _prefix(lead, step))
    await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


async def drop(lead: Lead, step: DropIndexStep, row: StepRow) -> None:
    """Drop an index of an old column; one that is gone already is dropped."""
    found = await reading.indexes(lead, step.table, name=step.name, prefix=_prefix(lead, step))
    for index in found:
        try:
            await drop_carcass(lead, step.table, index, _prefix(lead, step))
        except psycopg.Error as error:
            if classify(error, during="non_transactional") in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
                raise
            raise StepFailed(
                f"{step.title}: {error.diag.message_primary}", hint=f"osc advance {lead.change.id} tries again"
            ) from error
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


def cannot_undo(step: DropIndexStep) -> Conflict:
    """Return the refusal to undo a drop."""
    return Conflict(f"{step.title} is final; nothing was changed")
