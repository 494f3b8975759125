"""Statements that may take hours: no timeout on the server, watched from beside so that they end when they should."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from osc.executor.lead import Lead
from osc.pg.session import Connection, run, set_timeouts

Watch = Callable[[], Awaitable[None]]
LONG_DEADLINE_S = 30 * 24 * 3600.0
"""A client-side end for statements that may rightly take days."""


async def run_long(
    lead: Lead, sql: str, *, conn: Connection | None = None, lock_timeout_ms: int = 0, watch: Watch | None = None
) -> None:
    """Run ``sql`` without statement timeout; losing the lease cancels it on the server.

    A pause does not cancel it (design.md section 4). ``watch`` is called every ``index_poll_s`` meanwhile. Leaves the
    session's timeouts as ``connect`` pinned them, unless the session is gone.
    """
    session = conn or lead.work
    settings = lead.settings
    await set_timeouts(
        session, statement_timeout_ms=0, lock_timeout_ms=lock_timeout_ms, deadline_s=settings.query_deadline_s
    )
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, lead, watch)
            try:
                await run(session, sql, deadline_s=LONG_DEADLINE_S)
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        found: BaseException = errors
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        raise found from None
    finally:
        if not session.closed:
            with anyio.CancelScope(shield=True):
                await set_timeouts(
                    session,
                    statement_timeout_ms=round(settings.query_deadline_s * 1000),
                    lock_timeout_ms=settings.session_lock_timeout_ms,
                    deadline_s=settings.query_deadline_s,
                )


async def _watch(lead: Lead, watch: Watch | None) -> None:
    while watch is not None:
        await lead.clock.sleep(lead.settings.index_poll_s)
        await watch()
