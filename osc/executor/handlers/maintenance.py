"""Steps that read a whole table and change little: VALIDATE CONSTRAINT, ANALYZE, probes."""

from __future__ import annotations

import psycopg

from osc.errors import Finding, Refused
from osc.executor import reading
from osc.executor.explaining import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.executor.patience import Patience
from osc.failpoints import failpoint
from osc.pg.outcome import session_ended
from osc.pg.session import run
from osc.program import AnalyzeStep, ProbeStep, ValidateStep
from osc.redaction import KEYS, quoted_values
from osc.state import journal
from osc.state.journal import StepRow


async def validate(lead: Lead, step: ValidateStep, row: StepRow) -> None:
    """Validate the constraint; the catalog tells whether it is, so a second time does nothing.

    Raises Refused with keys where rows break it.
    """
    found = await reading.rows(lead, "constraint_validated", table=step.table.sql, name=step.constraint)
    if not found:
        raise Refused(
            f"constraint {step.constraint} on {step.table} is not there any more", hint="osc rollback, or put it back"
        )
    if not found[0]["validated"]:
        try:
            await _scan(lead, row, step.title, step.sql)
        except Refused as refused:
            raise await _with_keys(lead, step, refused) from refused
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def _with_keys(lead: Lead, step: ValidateStep, refused: Refused) -> Refused:
    """Return the refusal with keys of rows that break the constraint, as far as they can be had in time."""
    if step.violations is None:
        return refused
    try:
        cursor = await run(lead.observer, step.violations, deadline_s=lead.settings.reply_deadline_s)
        keys = [str(one[0]) for one in await cursor.fetchmany(lead.settings.sample_keys_max)]
    except psycopg.Error:
        return refused
    listed = quoted_values(keys)
    message = f"{refused.message}; rows{listed.words}"
    return Refused(message, hint=refused.hint, facts={**refused.facts, KEYS: keys}, quoted=[*refused.quoted, listed])


async def analyze(lead: Lead, step: AnalyzeStep, row: StepRow) -> None:
    """Collect statistics; doing it twice does no harm."""
    await _scan(lead, row, step.title, step.sql)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def _scan(lead: Lead, row: StepRow, title: str, sql: str) -> None:
    patience = Patience(lead, title)
    while True:
        await failpoint("scan.before")
        try:
            await run_long(lead, row, sql)
        except psycopg.Error as error:
            await patience.after(error)
        else:
            await failpoint("scan.after")
            return


async def probe(lead: Lead, step: ProbeStep, row: StepRow) -> None:
    """Run the probe; its rows are findings and refuse what follows."""
    try:
        cursor = await run(lead.observer, step.sql, deadline_s=lead.settings.reply_deadline_s)
        found = await cursor.fetchall()
    except psycopg.Error as error:
        if session_ended(error):
            raise
        raise explain(step.title, error) from error
    if found:
        shown = quoted_values([str(one[0]) for one in found[: lead.settings.sample_keys_max]])
        raise Refused(
            f"{step.message}{shown.words}",
            hint=step.hint,
            findings=[Finding(step.code, f"{step.message}{shown.words}", step.hint)],
            quoted=[shown],
        )
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))
