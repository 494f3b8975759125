"""Pausing a change, a table or everything; apart because nothing may ever make it wait.

The pause is committed first and the history written after it, in a transaction of its own: a pause that waits
for its audit entry would not be one. Who paused, when and why is in the pause's own row as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.errors import UsageError
from osc.failpoints import failpoint
from osc.state import events
from osc.state.changes import Pause
from osc.state.queries import Queries

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from osc.names import QName

EVERYTHING = "*"
"""The scope of all changes."""

_queries = Queries("pauses.sql")


def scope_of_change(id: str) -> str:
    """Return the scope of one change, in every attempt of it."""
    return f"change:{id}"


def scope_of_table(table: QName) -> str:
    """Return the scope of all changes of a table."""
    return f"table:{table}"


async def pause(conn: AsyncConnection[Any], scope: str, *, who: str, reason: str) -> bool:
    """Pause the scope: after it no new write of osc starts there, and what is in flight ends within its
    timeout.

    Return False, and change nothing, where it was paused already or names no open change.
    Raises UsageError for what is no scope.
    """
    return await _set(conn, "pause", scope, who=who, reason=reason)


async def resume(conn: AsyncConnection[Any], scope: str, *, who: str, reason: str = "") -> bool:
    """Lift the pause of this very scope; wider and narrower ones stay. Return False where there was none.

    Raises UsageError for what is no scope.
    """
    return await _set(conn, "resume", scope, who=who, reason=reason)


async def pauses(conn: AsyncConnection[Any]) -> list[Pause]:
    """Return every pause, the oldest first; only reads."""
    return [Pause(**row) for row in await _queries.all(conn, "pauses")]


async def _set(conn: AsyncConnection[Any], verb: str, scope: str, *, who: str, reason: str) -> bool:
    kind, _, name = scope.partition(":")
    if scope != EVERYTHING and (kind not in ("change", "table") or not name):
        raise UsageError(f"{scope!r} is no scope", hint="write change:<id>, table:<schema.name> or *")
    await failpoint("word.before")
    if kind == "change":
        row = await _queries.one(conn, f"{verb}_change", id=name, who=who, reason=reason)
    else:
        row = await _queries.one(conn, f"{verb}_scope", scope=scope, who=who, reason=reason)
    await failpoint("word.after")
    if row is None:
        return False
    await events.record(conn, row.get("number"), verb, {"scope": scope, "reason": reason}, who)
    return True
