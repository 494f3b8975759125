"""status: where every open change stands, worst first. Reads one snapshot, takes no lock, changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from osc.errors import Unreachable
from osc.executor.reports import Report
from osc.pg.outcome import session_ended
from osc.pg.session import Connection, run
from osc.redaction import plainly, redacted, statement
from osc.sql.named import load
from osc.state import changes
from osc.state import status as state
from osc.state.schema import schema_state
from osc.verbs.judging import judge
from osc.verbs.registered import unknown
from osc.verbs.standing import Overview, Standing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from osc.verbs.session import Session


async def status(session: Session, change_id: str | None = None) -> Overview:
    """Return the open changes, worst first, or every attempt of one, the latest first.

    A database without osc's schema has no changes. Raises Conflict for an id that is not registered.
    """
    async with session.connection("status", read_only=True) as conn:
        return await look(session, conn, change_id)


async def look(session: Session, conn: Connection, change_id: str | None) -> Overview:
    """Return what status returns, on a session that is open already."""
    found = await state.status(conn, change_id)
    now = await _now(session, conn)
    if change_id is not None and not found:
        raise unknown(change_id, await _known(conn))
    standings = [_judged(one, now, redact=session.settings.redact) for one in found]
    if change_id is None:
        standings.sort(key=lambda one: (one.condition.rank, one.id))
    else:
        standings.reverse()
    return Overview(tuple(standings), session.target.describe(), now)


def _judged(one: state.ChangeStatus, now: datetime, *, redact: bool) -> Standing:
    """Return where a change stands; with ``redact`` without what was written down of rows and others' statements."""
    problem = one.change.problem
    if problem is not None:
        shown = redacted(problem) if redact else plainly(problem)
        one = replace(one, change=replace(one.change, problem=shown))
    standing = judge(one, now)
    if not redact:
        return standing
    blockers = ({**each, "query": statement(str(each.get("query") or ""), redact=True)} for each in standing.blockers)
    return replace(standing, blockers=tuple(blockers))


async def watch(session: Session, change_id: str | None, every_s: float) -> AsyncGenerator[Overview, None]:
    """Yield the overview again and again; a server that goes away is waited for and told to the listener.

    One that cannot be reached at the first look raises, as it does in status.
    """
    told, answered = False, False
    while True:
        try:
            async with session.connection("watch", read_only=True) as conn:
                told, answered = False, True
                while True:
                    yield await look(session, conn, change_id)
                    await session.clock.sleep(every_s)
        except (psycopg.Error, OSError, Unreachable) as error:
            if not answered or not (isinstance(error, Unreachable) or session_ended(error)):
                raise
            if not told:
                message = f"{session.target.describe()} does not answer; looking again"
                session.listener(Report(kind="waiting", change=change_id or "", message=message, waiting="server"))
                told = True
            await session.clock.sleep(max(1.0, every_s))


async def _now(session: Session, conn: Connection) -> datetime:
    cursor = await run(conn, load("clock")["now"], deadline_s=session.settings.query_deadline_s)
    row = await cursor.fetchone()
    assert row is not None  # a SELECT without FROM has one row
    now: datetime = row[0]
    return now


async def _known(conn: Connection) -> list[str]:
    if await schema_state(conn) != "current":
        return []
    return [one.id for one in await changes.all_changes(conn)]
