"""Leadership of a change: one executor at a time, by a lease with an epoch that only grows.

The fence is not here: taking the lead counts up the epoch of every open step and slice, and those rows are
what a predecessor's transactions fail on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from osc.failpoints import failpoint
from osc.state import changes
from osc.state.queries import Queries
from osc.state.refusals import LOOK, DamagedState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import AsyncConnection

_DAMAGED = "OSC04"
_queries = Queries("lease.sql")


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads a change, as of now by the database's clock; not alive once the lease has run out."""

    change: int
    owner: UUID
    epoch: int
    host: str
    pid: int
    kind: str
    expires_in_s: float
    alive: bool


@dataclass(frozen=True, slots=True)
class Backend:
    """A server process that an epoch used; `alive` while that very process still runs."""

    owner: UUID
    change: int
    epoch: int
    pid: int
    backend_start: datetime
    alive: bool


async def register_executor(conn: AsyncConnection[Any], owner: UUID, *, host: str, pid: int, kind: str) -> None:
    """Make a process known by its random uuid; names and pids are for people.

    Repeating it does nothing new.
    """
    await _queries.run(conn, "register_executor", owner=owner, host=host, pid=pid, kind=kind)


async def forget_executors(conn: AsyncConnection[Any], seconds: float) -> int:
    """Forget executors that lead nothing and were not seen for so long; return how many."""
    return await _queries.run(conn, "forget_executors", seconds=seconds)


async def take(conn: AsyncConnection[Any], change: int, owner: UUID, lease_s: float) -> int | None:
    """Take the lead and return the new epoch, or None while another executor's lease runs.

    Nobody led, the lease had run out, or the owner is the same (whose old epoch ends as well). After it, no
    open step or slice carries an older epoch, and none can be started under one. It waits for transactions
    that are ending such a row, so set a lock_timeout. Raises DamagedState if the change has no lease.
    """
    await failpoint("lease.before")
    try:
        epoch: int | None = await _queries.value(conn, "take", change=change, owner=owner, lease_s=float(lease_s))
    except psycopg.Error as error:
        if error.sqlstate == _DAMAGED:
            message = error.diag.message_primary
            raise DamagedState(f"{message}; nothing was changed", hint=LOOK) from error
        raise
    await failpoint("lease.after")
    return epoch


async def heartbeat(conn: AsyncConnection[Any], change: int, owner: UUID, epoch: int) -> bool:
    """Extend the lease by the length it was taken for; False if this owner and epoch lead no more."""
    return await _queries.one(conn, "heartbeat", change=change, owner=owner, epoch=epoch) is not None


async def release(conn: AsyncConnection[Any], change: int, owner: UUID, epoch: int) -> bool:
    """Give up the lead, so that the next taker need not wait; False if it was lost already."""
    return await _queries.one(conn, "release", change=change, owner=owner, epoch=epoch) is not None


async def record_backend(
    conn: AsyncConnection[Any], change: int, owner: UUID, epoch: int, pid: int, backend_start: datetime
) -> None:
    """Record a server process before it works for the change.

    Raise LeaseLost, recording nothing, if `epoch` is old.
    """
    params = {"change": change, "owner": owner, "epoch": epoch, "pid": pid, "backend_start": backend_start}
    if await _queries.one(conn, "record_backend", **params) is None:
        await changes.refuse(conn, change, epoch, f"use backend {pid}")


async def old_backends(conn: AsyncConnection[Any], change: int, epoch: int) -> list[Backend]:
    """Return the recorded processes of epochs before `epoch`; those alive must end before anything starts.

    Only reads.
    """
    return [Backend(**row) for row in await _queries.all(conn, "old_backends", change=change, epoch=epoch)]


async def forget_backends(conn: AsyncConnection[Any], change: int, epoch: int) -> None:
    """Forget the processes of epochs before `epoch`, once they are gone."""
    await _queries.run(conn, "forget_backends", change=change, epoch=epoch)


async def leader(conn: AsyncConnection[Any], change: int) -> Leader | None:
    """Return who leads or led last without giving up; None if nobody. Only reads."""
    return (await leaders(conn, [change])).get(change)


async def leaders(conn: AsyncConnection[Any], numbers: Sequence[int]) -> dict[int, Leader]:
    """Return the leaders of several changes by number; only reads."""
    rows = await _queries.all(conn, "leaders", changes=list(numbers))
    return {row["change"]: Leader(**row) for row in rows}
