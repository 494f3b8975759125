"""A pause commits at once, whatever is in flight, and says who wanted it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from osc.errors import UsageError
from osc.names import QName
from osc.state import changes, events, journal, lease, pauses, registration, slices

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session, Submit

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

SCOPES = ["change:00001_users", "table:public.users", "*"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_open_transaction_of_osc_makes_a_pause_wait(
    conn: Session, session: Open, change: Change, scope: str
) -> None:
    epoch = await lease.take(conn, change.number, uuid4(), 60)
    assert epoch
    await journal.start(conn, change.number, 1, epoch)
    (slice_,) = await slices.create(conn, change.number, "fill", [(None, None)], epoch)
    batch, ddl, starting = await session(), await session(), await session()
    async with batch.transaction(), ddl.transaction(), starting.transaction():
        await batch.execute("UPDATE osc.slice SET seq = seq + 1 WHERE slice = %s", [slice_.slice])
        await ddl.execute("UPDATE osc.step SET state = 'done' WHERE ordinal = 1")
        await journal.start(starting, change.number, 2, epoch)
        operator = await session()
        await operator.execute("SET lock_timeout = '100ms'")
        assert await asyncio.wait_for(pauses.pause(operator, scope, who="sre", reason="load"), 1)
        assert (await changes.get(operator, change.number)).effective_pause
        assert await pauses.resume(operator, scope, who="sre")


async def test_a_pause_stands_even_if_its_history_cannot_be_written(
    conn: Session, session: Open, change: Change
) -> None:
    writer, operator = await session(), await session()
    await operator.execute("SET lock_timeout = '100ms'")
    async with writer.transaction():
        await events.record(writer, change.number, "note", {}, "somebody who stopped")
        with pytest.raises(Exception, match="lock timeout"):
            await pauses.pause(operator, "change:00001_users", who="sre", reason="load")
        assert (await changes.get(operator, change.number)).paused


async def test_the_narrowest_pause_is_shown_and_each_is_lifted_by_itself(conn: Session, change: Change) -> None:
    own, table, everything = SCOPES
    assert pauses.scope_of_change(change.id) == own
    assert pauses.scope_of_table(QName("public", "users")) == table
    for scope in reversed(SCOPES):
        assert await pauses.pause(conn, scope, who="sre", reason=f"of {scope}")
        assert not await pauses.pause(conn, scope, who="other", reason="again")
        shown = (await changes.get(conn, change.number)).effective_pause
        assert shown
        assert (shown.scope, shown.by, shown.reason) == (scope, "sre", f"of {scope}")
        assert await (await conn.execute("SELECT osc.is_paused(%s)", [change.number])).fetchone() == (True,)
    assert {one.scope for one in await pauses.pauses(conn)} == set(SCOPES)
    for scope, left in ((own, table), (everything, table), (table, None)):
        assert await pauses.resume(conn, scope, who="sre")
        assert not await pauses.resume(conn, scope, who="sre")
        shown = (await changes.get(conn, change.number)).effective_pause
        assert (shown and shown.scope) == left
    assert await (await conn.execute("SELECT osc.is_paused(%s)", [change.number])).fetchone() == (False,)
    kinds = [(one.change, one.kind) for one in await events.history(conn) if one.kind in ("pause", "resume")]
    assert kinds.count((change.number, "pause")) == kinds.count((change.number, "resume")) == 1
    assert kinds.count((None, "pause")) == kinds.count((None, "resume")) == 2


async def test_a_pause_of_another_table_or_change_does_not_concern_it(
    conn: Session, change: Change, submit: Submit
) -> None:
    other = await registration.register(conn, submit("00002_other"), who="p")
    await pauses.pause(conn, "table:public.orders", who="sre", reason="")
    await pauses.pause(conn, "change:00002_other", who="sre", reason="")
    assert (await changes.get(conn, change.number)).effective_pause is None
    assert (await changes.get(conn, other.number)).paused
    assert not await pauses.pause(conn, "change:00009_nobody", who="sre", reason="")


@pytest.mark.parametrize("scope", ["", "all", "change:", "table:", "phase:expand"])
async def test_what_is_no_scope_is_refused(conn: Session, scope: str) -> None:
    with pytest.raises(UsageError):
        await pauses.pause(conn, scope, who="sre", reason="")
