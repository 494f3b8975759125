"""Steps that are one transaction: ddl, sql and switch. Sent as one message through the lock gate, journalled inside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import psycopg

from osc.executor.explaining import explain
from osc.executor.lead import Lead
from osc.executor.long import run_long
from osc.executor.patience import Patience
from osc.failpoints import failpoint
from osc.pg import activity
from osc.pg.gate import LockWait
from osc.program import DdlStep, SqlStep, SwitchStep
from osc.sql.locks import Assertion, TableLock
from osc.sql.message import transaction_message
from osc.state import journal
from osc.state.journal import StepRow

TransactionStep: TypeAlias = DdlStep | SqlStep | SwitchStep


@dataclass(frozen=True)
class _Transaction:
    """One direction of a step: what it locks, proves, runs, and the end of its message that moves the step's row."""

    title: str
    sql: tuple[str, ...]
    locks: tuple[TableLock, ...]
    assertions: tuple[Assertion, ...]
    fence: str

    def message(self, lock_timeout_ms: int, yield_first_ms: int | None) -> str:
        return transaction_message(locks=self.locks, sql=self.sql, fence=self.fence, lock_timeout_ms=lock_timeout_ms,
                                   assertions=self.assertions, yield_first_ms=yield_first_ms)  # fmt: skip


Ready: TypeAlias = Callable[[Lead], Awaitable[None]]
"""What must hold when the transaction is sent, asked again whenever it had to wait."""


async def do(lead: Lead, step: TransactionStep, row: StepRow, ready: Ready | None = None) -> None:
    """Run the step; afterwards it is done, or nothing of it happened."""
    assertions = () if isinstance(step, SqlStep) else step.assertions
    fence = journal.fence_fragment(lead.number, row.ordinal, lead.epoch, from_states=("started",), to_state="done")
    forward = _Transaction(step.title, step.sql, step.locks, assertions, fence)
    await _send(lead, row, forward, ready)


async def undo(lead: Lead, step: TransactionStep, row: StepRow, ready: Ready | None = None) -> None:
    """Take the step back; afterwards it is undone, or nothing happened."""
    assert step.undo is not None  # refused before the rollback began
    locks = step.undo_locks if isinstance(step, DdlStep) and step.undo_locks is not None else step.locks
    assertions = () if isinstance(step, SqlStep) or lead.gone else step.undo_assertions
    fence = journal.fence_fragment(lead.number, row.ordinal, lead.epoch, from_states=("undoing",), to_state="undone")
    sql = tuple(one for one in step.undo if not any(table.sql in one for table in lead.gone))
    locks = tuple(lock for lock in locks if lock.table not in lead.gone)
    back = _Transaction(f"Undo: {step.title}", sql, locks, assertions, fence)
    await _send(lead, row, back, ready)


async def _send(lead: Lead, row: StepRow, transaction: _Transaction, ready: Ready | None) -> None:
    """Send the transaction until it is through."""

    async def may_go_on() -> None:
        await lead.may_go_on()
        if ready is not None:
            await ready(lead)

    patience = Patience(lead, transaction.title)
    while True:
        await may_go_on()
        await failpoint("transaction.before")
        try:
            if any(lock.mode.strong for lock in transaction.locks):
                await _through_the_gate(lead, row, transaction, may_go_on)
            else:
                await run_long(lead, row, transaction.message(_weak_lock_timeout_ms(lead, transaction), None))
        except psycopg.Error as error:
            await patience.after(error)
        else:
            await failpoint("transaction.after")
            return


def _weak_lock_timeout_ms(lead: Lead, transaction: _Transaction) -> int:
    """Locks that were declared weak keep nobody waiting; what the author's own SQL takes undeclared may be strong."""
    return lead.settings.weak_lock_timeout_ms if transaction.locks else lead.settings.lock_timeout_max_ms


async def _through_the_gate(
    lead: Lead, row: StepRow, transaction: _Transaction, may_go_on: Callable[[], Awaitable[None]]
) -> None:
    told: set[str] = set()

    async def on_wait(wait: LockWait) -> None:
        wait = replace(wait, blockers=activity.discreetly(wait.blockers, redact=lead.settings.redact))
        detail = _detail(wait)
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, "lock", detail))
        if wait.reason not in told:
            told.add(wait.reason)
            lead.report("waiting", _sentence(wait), waiting="lock", step=row.step, facts=detail)

    await lead.executor.gate(lead.deadlock_timeout_ms).run(
        lead.work, locks=transaction.locks, message=transaction.message, observer_conn=lead.observer, on_wait=on_wait,
        may_go_on=may_go_on,
    )  # fmt: skip


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
    return f"waiting for a lock: {reasons[wait.reason]}" + (f": {who}" if who else "")


__all__ = ["TransactionStep", "do", "explain", "undo"]
