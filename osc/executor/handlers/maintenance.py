"""Steps that read a whole table and change little: VALIDATE CONSTRAINT, ANALYZE, probes."""

from __future__ import annotations

import psycopg

from osc.errors import Finding, Refused
from osc.executor import reading
from osc.executor.handlers.transaction import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.pg.outcome import Outcome, classify
from osc.pg.session import run
from osc.program import AnalyzeStep, ProbeStep, ValidateStep
from osc.state import journal
from osc.state.journal import StepRow


async def validate(lead: Lead, step: ValidateStep, row: StepRow) -> None:
    """Validate the constraint; the catalog tells whether it is, so a second time does nothing."""
    found = await reading.rows(lead, "constraint_validated", table=step.table.sql, name=step.constraint)
    if not found:
        raise Refused(
            f"constraint {step.constraint} on {step.table} is not there any more", hint="osc rollback, or put it back"
        )
    if not found[0]["validated"]:
        await _long(lead, step.title, step.sql)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def analyze(lead: Lead, step: AnalyzeStep, row: StepRow) -> None:
    """Collect statistics; doing it twice does no harm."""
    await _long(lead, step.title, step.sql)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def probe(lead: Lead, step: ProbeStep, row: StepRow) -> None:
    """Run the probe; its rows are findings and refuse what follows."""
    cursor = await run(lead.observer, step.sql, deadline_s=lead.settings.query_deadline_s)
    found = await cursor.fetchall()
    if found:
        shown = ", ".join(str(one[0]) for one in found[: lead.settings.sample_keys_max])
        raise Refused(
            f"{step.message}: {shown}",
            hint=step.hint,
            findings=[Finding(step.code, f"{step.message}: {shown}", step.hint)],
        )
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def _long(lead: Lead, what: str, sql: str) -> None:
    while True:
        try:
            await run_long(lead, sql)
            return
        except psycopg.Error as error:
            outcome = classify(error, during="non_transactional")
            if outcome in (Outcome.TRANSIENT, Outcome.LOCK_NOT_AVAILABLE):
                await lead.clock.sleep(lead.settings.transient_pause_first_s)
                await lead.may_go_on()
                continue
            if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
                raise
            raise explain(what, error) from error
