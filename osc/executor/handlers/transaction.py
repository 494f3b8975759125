"""Steps that are one transaction: ddl, sql and switch. Sent as one message through the lock gate, journalled inside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import psycopg

from osc.errors import LeaseLost, OscError, Refused, StepFailed
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.failpoints import failpoint
from osc.pg.gate import LockWait, Message
from osc.pg.outcome import Outcome, assertion_of, classify, sqlstate_of
from osc.program import DdlStep, SqlStep, SwitchStep
from osc.sql.locks import Assertion, TableLock
from osc.sql.message import transaction_message
from osc.state import journal
from osc.state.journal import StepRow

TransactionStep: TypeAlias = DdlStep | SqlStep | SwitchStep


async def do(lead: Lead, step: TransactionStep, row: StepRow) -> None:
    """Run the step; afterwards it is done, or nothing of it happened."""
    assertions = () if isinstance(step, SqlStep) else step.assertions
    fence = journal.fence_fragment(lead.number, row.ordinal, lead.epoch, from_states=("started",), to_state="done")
    await _send(lead, step, row, step.sql, step.locks, assertions, fence)


async def undo(lead: Lead, step: TransactionStep, row: StepRow) -> None:
    """Take the step back; afterwards it is undone, or nothing happened."""
    assert step.undo is not None  # refused before the rollback began
    locks = step.undo_locks if isinstance(step, DdlStep) and step.undo_locks is not None else step.locks
    assertions = () if isinstance(step, SqlStep) else step.undo_assertions
    fence = journal.fence_fragment(lead.number, row.ordinal, lead.epoch, from_states=("undoing",), to_state="undone")
    await _send(lead, step, row, step.undo, locks, assertions, fence)


async def _send(
    lead: Lead,
    step: TransactionStep,
    row: StepRow,
    sql: Sequence[str],
    locks: Sequence[TableLock],
    assertions: Sequence[Assertion],
    fence: str,
) -> None:
    def message(lock_timeout_ms: int, yield_first_ms: int | None) -> str:
        return transaction_message(locks=locks, sql=sql, fence=fence, lock_timeout_ms=lock_timeout_ms,
                                   assertions=assertions, yield_first_ms=yield_first_ms)  # fmt: skip

    while True:
        await failpoint("step.before")
        try:
            if any(lock.mode.strong for lock in locks):
                await _through_the_gate(lead, row, locks, message)
            else:
                # Blocks no read and no write, however long it waits or takes (VALIDATE): no statement timeout.
                await run_long(lead, message(lead.settings.weak_lock_timeout_ms, None))
            return
        except psycopg.Error as error:
            if not await _again(lead, step, error):
                raise explain(step.title, error) from error


async def _through_the_gate(lead: Lead, row: StepRow, locks: Sequence[TableLock], message: Message) -> None:
    told: set[str] = set()

    async def on_wait(wait: LockWait) -> None:
        detail = _detail(wait)
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, "lock", detail))
        if wait.reason not in told:
            told.add(wait.reason)
            lead.report("waiting", _sentence(wait), waiting="lock", step=row.step, facts=detail)

    await lead.executor.gate(lead.deadlock_timeout_ms).run(
        lead.work, locks=locks, message=message, observer_conn=lead.observer, on_wait=on_wait, may_go_on=lead.may_go_on
    )


def _detail(wait: LockWait) -> dict[str, object]:
    return {
        "reason": wait.reason,
        "attempts": wait.attempts,
        "blockers": [
            {"pid": one.pid, "age_s": one.age_s, "state": one.state, "application": one.application_name,
             "query": one.query, "table": str(one.table), "mode": str(one.mode)}
            for one in wait.blockers
        ],
    }  # fmt: skip


def _sentence(wait: LockWait) -> str:
    reasons = {
        "long_holder": "a long transaction holds the table",
        "wraparound": "a vacuum to prevent wraparound holds the table",
        "budget": "the lock budget of the table is spent for now",
        "lock_timeout": "the lock was not had in time",
        "overrun": "the statement took too long under its lock",
    }
    who = "; ".join(
        f"pid {one.pid} {one.application_name or '?'} ({one.state}{f', {one.age_s:.0f} s' if one.age_s else ''}): {one.query}"
        for one in wait.blockers[:3]
    )
    return f"waiting for a lock: {reasons[wait.reason]}" + (f" — {who}" if who else "")


async def _again(lead: Lead, step: TransactionStep, error: psycopg.Error) -> bool:
    """Return whether to try once more: after a pause, or after an error that time mends."""
    outcome = classify(error, during="transaction")
    if outcome is Outcome.PAUSED:
        await lead.may_go_on()
        return True
    if outcome in (Outcome.TRANSIENT, Outcome.LOCK_NOT_AVAILABLE):
        await lead.clock.sleep(lead.settings.transient_pause_first_s)
        await lead.may_go_on()
        return True
    if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
        raise error  # the runner takes the lead anew and reads the step's row, which decides
    return False


def explain(what: str, error: psycopg.Error) -> OscError:
    """Return our error for one of the server's: who must act, what is true now, what to do."""
    outcome = classify(error, during="transaction")
    if outcome is Outcome.FENCED:
        return LeaseLost("another executor leads this change now; this one stopped and wrote nothing more")
    if outcome is Outcome.ASSERTED:
        message, hint = assertion_of(error)
        return Refused(f"{message}; the step changed nothing", hint=hint)
    said = error.diag.message_primary or str(error).splitlines()[0]
    facts = {
        "sqlstate": sqlstate_of(error),
        "detail": error.diag.message_detail or "",
        "hint": error.diag.message_hint or "",
    }
    hint = error.diag.message_hint or _remedy(sqlstate_of(error) or "")
    if (sqlstate_of(error) or "").startswith("23"):
        return Refused(
            f"{what}: the data does not allow it: {said}; the step changed nothing",
            hint=hint or str(facts["detail"]),
            facts=facts,
        )
    return StepFailed(f"{what}: {said} ({facts['sqlstate']}); the step changed nothing", hint=hint, facts=facts)


def _remedy(sqlstate: str) -> str:
    remedies = {
        "42501": "grant what is missing, then osc advance",
        "53100": "make room on the server's disk, then osc advance",
        "57014": "somebody cancelled it or it ran into a timeout; osc advance tries again",
    }
    return remedies.get(sqlstate, "mend the cause, then osc advance; osc rollback takes the change back")
