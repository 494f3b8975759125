"""The author's own statements outside of a transaction: run once, and never again by themselves.

Nothing is written in their transaction, for they are in none of ours, and osc cannot tell from the catalog what they
meant to do. So a lost reply leaves an unknown that only a person resolves (I18): ``stepping`` calls such a step
ambiguous when the next lead finds it open.
"""

from __future__ import annotations

import psycopg

from osc.executor.explaining import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.failpoints import failpoint
from osc.pg.outcome import Outcome, classify
from osc.program import SqlStep
from osc.state import journal
from osc.state.journal import StepRow


async def do(lead: Lead, step: SqlStep, row: StepRow) -> None:
    """Run the statement; raises what the server said, after which the step is failed, or a lost session's error."""
    await _run(lead, step.title, step.sql, row)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def undo(lead: Lead, step: SqlStep, row: StepRow) -> None:
    """Run the statement that takes it back; afterwards the step is undone."""
    assert step.undo is not None  # refused before the rollback began
    await _run(lead, f"Undo: {step.title}", step.undo, row)
    await lead.ask(journal.undone(lead.control, lead.number, row.ordinal, lead.epoch))


async def _run(lead: Lead, title: str, statements: tuple[str, ...], row: StepRow) -> None:
    """Send them one by one. Not repeated after an error: part of it may be done, as of an index build that failed."""
    for sql in statements:
        await failpoint("scan.before")
        try:
            await run_long(lead, row, sql, lock_timeout_ms=_lock_timeout_ms(lead, sql))
        except psycopg.Error as error:
            if classify(error, during="non_transactional") in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
                raise
            raise explain(title, error, "what it did before that stays, so look before it runs again") from error
        await failpoint("scan.after")


def _lock_timeout_ms(lead: Lead, sql: str) -> int:
    """What waits for old transactions without keeping anybody waiting may wait; for a strong lock nothing may."""
    first = sql.split(maxsplit=1)[0].upper()
    patient = first in ("VACUUM", "ANALYZE") or "CONCURRENTLY" in sql.upper()
    return 0 if patient else lead.settings.lock_timeout_max_ms
