"""Finding a registered change, for verbs that act on one; on a database without osc's schema nothing is created."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from osc.errors import Conflict
from osc.plan.words import did_you_mean
from osc.state import changes
from osc.state.schema import ensure_schema, schema_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session


@asynccontextmanager
async def registered(session: Session, change_id: str, purpose: str) -> AsyncIterator[tuple[Connection, Change]]:
    """Yield a session that can write and the latest attempt of ``change_id``; raise Conflict if there is none."""
    async with session.connection(f"{change_id}:{purpose}") as conn:
        if await schema_state(conn) == "absent":
            raise unknown(change_id, [])
        await ensure_schema(conn)
        change = await changes.find(conn, change_id)
        if change is None:
            raise unknown(change_id, [one.id for one in await changes.all_changes(conn)])
        yield conn, change


def unknown(change_id: str, known: list[str]) -> Conflict:
    """Return the refusal for an id that no plan was registered with."""
    hint = did_you_mean(change_id, dict.fromkeys(known)) if known else "osc apply PLAN registers one"
    return Conflict(f"no change {change_id} is registered in this database; nothing was changed", hint=hint)
