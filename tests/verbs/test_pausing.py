"""Pause and resume: the scope is said, what stands still is said, and so is what nobody leads afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import UsageError
from osc.program import Phase
from osc.state import changes
from osc.verbs.pause import Scope, pause
from osc.verbs.resume import resume
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.verbs.conftest import Leading

pytestmark = pytest.mark.anyio

SCOPES = [Scope(ID), Scope(table="pgbench_accounts"), Scope(everything=True)]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_it_holds_the_change_until_resumed(
    session: Session, conn: Connection, change: Change, scope: Scope
) -> None:
    paused = await pause(session, scope, reason="incident")
    assert (paused.changed, paused.changes) == (True, (ID,))
    held = (await changes.get(conn, change.number)).effective_pause
    assert held
    assert (held.by, held.reason) == ("ann@laptop", "incident")
    assert not (await pause(session, scope)).changed

    assert (await resume(session, scope)).changed
    assert (await changes.get(conn, change.number)).effective_pause is None
    assert not (await resume(session, scope)).changed


async def test_a_wider_pause_that_stays_is_told(session: Session, change: Change) -> None:
    await pause(session, Scope(ID))
    await pause(session, Scope(everything=True), reason="freeze")
    resumed = await resume(session, Scope(ID))
    (still,) = resumed.still_paused
    assert (still["scope"], still["reason"]) == ("*", "freeze")
    assert resumed.run == ()


async def test_resume_says_what_to_run_where_nobody_leads(
    session: Session, conn: Connection, change: Change, leading: Leading
) -> None:
    await changes.set_target(conn, change, Phase.BACKFILL, "forward", who="t")
    await pause(session, Scope(ID))
    assert (await resume(session, Scope(ID))).run == (f"osc advance {ID}",)
    async with leading(change):
        await pause(session, Scope(ID))
        assert (await resume(session, Scope(ID))).run == ()


async def test_a_table_that_no_change_touches_can_be_paused_beforehand(session: Session, change: Change) -> None:
    paused = await pause(session, Scope(table="shop.orders"))
    assert (paused.changed, paused.changes) == (True, ())
    assert "no open change is concerned" in paused.message


@pytest.mark.parametrize("given", [{}, {"change_id": ID, "everything": True}, {"table": "a", "change_id": ID}])
def test_exactly_one_scope_must_be_named(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="name one of"):
        Scope(**given)  # type: ignore[arg-type]


async def test_what_cannot_be_a_table_is_refused(session: Session) -> None:
    with pytest.raises(UsageError, match="3 parts"):
        await pause(session, Scope(table="a.b.c"))
