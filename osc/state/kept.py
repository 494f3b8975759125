"""What fills kept of the application's own values for the way back: when contract ends it is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.failpoints import failpoint
from osc.state import changes
from osc.state.queries import Queries

if TYPE_CHECKING:
    from psycopg import AsyncConnection

_queries = Queries("kept.sql")


async def forget(conn: AsyncConnection[Any], change: int, epoch: int, rows: int, *, step: str | None = None) -> int:
    """Delete at most `rows` of what a change (or one step of it) kept and return how many.

    Raises LeaseLost if `epoch` does not lead.
    """
    await failpoint("forget.before")
    row = await _queries.one(conn, "forget", change=change, epoch=epoch, rows=rows, step=step)
    await failpoint("forget.after")
    if row is None:
        await changes.refuse(conn, change, epoch, "forget what was kept")
    assert row is not None
    return int(row["rows"])
