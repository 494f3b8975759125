"""Indexes of ours on their way: set aside and dropped, or renamed into place, each by a transaction that is fenced."""

from __future__ import annotations

import psycopg

from osc.errors import Refused
from osc.executor import working_names
from osc.executor.explaining import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.executor.patience import Patience
from osc.executor.reading import BuiltIndex
from osc.failpoints import failpoint
from osc.names import QName, literal, quote
from osc.pg.outcome import sqlstate_of
from osc.pg.session import run
from osc.program import DropIndexStep, IndexStep
from osc.sql.message import transaction_message
from osc.state import journal
from osc.state.journal import StepRow


async def drop_index(lead: Lead, step: IndexStep | DropIndexStep, row: StepRow, index: BuiltIndex) -> None:
    """Drop an index concurrently, after setting it aside in a fenced transaction.

    Without that a zombie's DROP INDEX by name could hit the good index of a successor (rationale.md 13).
    """
    schema = step.table.schema
    aside = working_names.dead(working_names.prefix(lead.change, step), index.oid, lead.epoch)
    if index.name != aside:
        rename = f"ALTER INDEX {QName(schema, index.name).sql} RENAME TO {quote(aside)}"
        await _fenced(lead, step.title, (rename,), _lease_fence(lead))
    patience = Patience(lead, step.title, during="non_transactional")
    while True:
        await failpoint("drop_index.before")
        try:
            await run_long(lead, row, f"DROP INDEX CONCURRENTLY {QName(schema, aside).sql}")
        except psycopg.Error as error:
            if sqlstate_of(error) == "42704" and patience.cancels + patience.misses + patience.transients:
                return  # an earlier try of this very loop had done it
            await patience.after(error)
        else:
            await failpoint("drop_index.after")
            return


async def rename_into_place(lead: Lead, step: IndexStep, row: StepRow, built: BuiltIndex) -> None:
    """Give the finished index its name and mark the step done, at once or not at all."""
    schema = step.table.schema
    sql = [f"ALTER INDEX {QName(schema, built.name).sql} RENAME TO {quote(step.name)}"]
    if step.comment is not None:
        sql.append(f"COMMENT ON INDEX {QName(schema, step.name).sql} IS {literal(step.comment)}")
    result = f"pg_catalog.jsonb_build_object('oid', {built.oid}, 'definition', pg_catalog.pg_get_indexdef({built.oid}))"
    fence = journal.fence_fragment(
        lead.number, row.ordinal, lead.epoch, from_states=("started",), to_state="done", result_sql=result
    )
    try:
        await _fenced(lead, step.title, tuple(sql), fence)
    except Refused as refused:
        if refused.facts.get("sqlstate") != "42P07":
            raise
        raise taken(lead, step) from refused


def taken(lead: Lead, step: IndexStep) -> Refused:
    """Return the refusal to touch what somebody else made under the wanted name (I28)."""
    return Refused(
        f"{step.name} exists already in schema {step.table.schema} and is not ours; it was not touched",
        hint=f"drop or rename it, then osc advance {lead.change.id}",
        facts={"name": step.name, "sqlstate": "42P07"},
    )


def _lease_fence(lead: Lead) -> str:
    return (
        f"PERFORM FROM osc.lease WHERE change = {lead.number} AND epoch = {lead.epoch} FOR SHARE;\n"
        "IF NOT FOUND THEN\n    RAISE EXCEPTION USING ERRCODE = 'OSC01', MESSAGE = 'fenced: another executor leads';\nEND IF;\n"
        f"IF osc.is_paused({lead.number}) THEN\n    RAISE EXCEPTION USING ERRCODE = 'OSC02', MESSAGE = 'the change is paused';\nEND IF"
    )


async def _fenced(lead: Lead, title: str, sql: tuple[str, ...], fence: str) -> None:
    """Run statements that lock an index alone, which keeps no read or write waiting, in a transaction that is fenced."""
    patience = Patience(lead, title)
    timeout_ms = lead.settings.session_lock_timeout_ms
    while True:
        await failpoint("rename.before")
        try:
            message = transaction_message(locks=(), sql=sql, fence=fence, lock_timeout_ms=timeout_ms)
            await run(lead.work, message, deadline_s=lead.settings.reply_deadline_s)
        except psycopg.Error as error:
            if sqlstate_of(error) == "42P07":
                raise Refused(str(explain(title, error)), facts={"sqlstate": "42P07"}) from error
            await patience.after(error)
        else:
            await failpoint("rename.after")
            return
