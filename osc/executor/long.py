"""Statements that may take hours: no timeout on the server, watched from beside so that they end when they should."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import anyio
import psycopg

from osc.executor.keeping import single
from osc.executor.lead import Lead, Redirected
from osc.pg import activity
from osc.pg.activity import Blocker, IndexProgress
from osc.pg.outcome import ReplyLost
from osc.pg.session import run, set_timeouts
from osc.state import journal
from osc.state.journal import StepRow

LONG_DEADLINE_S = 30 * 24 * 3600.0
"""A client-side end for statements that may rightly take days."""
IDLE_LOOKS_MAX = 4
"""A session that so many looks in a row found idle or gone has answered, and its reply is lost (F22)."""


async def run_long(lead: Lead, row: StepRow, sql: str, *, lock_timeout_ms: int = 0) -> None:
    """Run ``sql`` of the step on the work session, without statement timeout.

    Losing the lease cancels it on the server, and so does the wish to go back (then Redirected is raised); a pause
    does not (design.md section 4). Whom it waits for and how far an index build is stands in the step's row
    meanwhile. Leaves the session's timeouts as ``connect`` pinned them, unless the session is gone.
    """
    settings = lead.settings
    await set_timeouts(
        lead.work, statement_timeout_ms=0, lock_timeout_ms=lock_timeout_ms, deadline_s=settings.query_deadline_s
    )
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_Watch(lead, row).look_on)
            await run(lead.work, sql, deadline_s=LONG_DEADLINE_S)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise single(errors) from None
    finally:
        # A connection that breaks here must not hide the error that is on its way.
        with anyio.CancelScope(shield=True), contextlib.suppress(psycopg.Error):
            if not lead.work.closed:
                await set_timeouts(
                    lead.work,
                    statement_timeout_ms=round(settings.query_deadline_s * 1000),
                    lock_timeout_ms=settings.session_lock_timeout_ms,
                    deadline_s=settings.query_deadline_s,
                )


@dataclass
class _Watch:
    """What looks at a long statement from beside, on the observing session."""

    lead: Lead
    row: StepRow
    idle_looks: int = 0
    told: set[tuple[int, ...]] = field(default_factory=set)

    async def look_on(self) -> None:
        pid = self.lead.work.info.backend_pid
        while True:
            await self.lead.clock.sleep(self.lead.settings.index_poll_s)
            # One look is short, and cancelling it half-way could hit the statement that comes after it.
            with anyio.CancelScope(shield=True):
                await self._look(pid)

    async def _look(self, pid: int) -> None:
        if await self.lead.turned_round():
            raise Redirected
        doing = await activity.doing(self.lead.observer, pid)
        idle = doing is None or doing.state == "idle"
        self.idle_looks = self.idle_looks + 1 if idle else 0
        if self.idle_looks >= IDLE_LOOKS_MAX:
            raise ReplyLost("the statement has ended on the server, but its reply did not come")
        progress = await activity.index_progress(self.lead.observer, pid)
        await self._tell(progress, doing.waits_for if doing else ())

    async def _tell(self, progress: IndexProgress | None, blockers: tuple[Blocker, ...]) -> None:
        lead, row = self.lead, self.row
        blockers = activity.discreetly(blockers, redact=lead.settings.redact)
        kind = "lock" if blockers else "index" if progress else None
        detail = {**_progress(progress), "blockers": [_blocker(one) for one in blockers]} if kind else None
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, kind, detail))
        if progress is not None:
            unit, done, total = _amount(progress)
            facts = {"unit": unit, "phase": progress.phase}
            message = f"index build, {progress.phase.replace(': ', ', ')}"
            lead.report("progress", message, step=row.step, done=done, total=total, facts=facts)
        pids = tuple(one.pid for one in blockers)
        if pids and pids not in self.told:
            self.told.add(pids)
            lead.report("waiting", f"waits for {sentence(blockers)}", waiting="lock", step=row.step, facts=detail)


def sentence(blockers: tuple[Blocker, ...]) -> str:
    """Return who is waited for, in words."""
    return "; ".join(
        f"pid {one.pid} {one.application_name or '?'} ({one.state}{f', {one.age_s:.0f} s' if one.age_s else ''}): {one.query}"
        for one in blockers[:3]
    )


def _amount(progress: IndexProgress) -> tuple[str, int | None, int | None]:
    """Return what the phase counts, how much is done and of how much: blocks, rows where it reads none, or nothing."""
    if progress.blocks_total:
        return "blocks", progress.blocks_done, progress.blocks_total
    if progress.tuples_total:
        return "rows", progress.tuples_done, progress.tuples_total
    return "", None, None


def _progress(progress: IndexProgress | None) -> dict[str, Any]:
    if progress is None:
        return {}
    return {
        "phase": progress.phase, "blocks_done": progress.blocks_done, "blocks_total": progress.blocks_total,
        "tuples_done": progress.tuples_done, "tuples_total": progress.tuples_total,
    }  # fmt: skip


def _blocker(one: Blocker) -> dict[str, Any]:
    return {"pid": one.pid, "age_s": one.age_s, "state": one.state, "application": one.application_name, "query": one.query}  # fmt: skip
