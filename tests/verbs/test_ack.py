"""An ack opens a gate of the plan, once, not before it can be true, and can be taken back until its phase begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import Conflict, UsageError
from osc.state import gates
from osc.state.transitions import Event
from osc.verbs.ack import ack
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.verbs.conftest import Bring

pytestmark = pytest.mark.anyio


async def test_it_opens_the_gate_with_name_and_reason(session: Session, conn: Connection, change: Change) -> None:
    done = await ack(session, ID, "old-retired", reason="last pod is gone")
    opened = (await gates.opened(conn, change.number))["old-retired"]
    assert (done.open, done.changed) == (True, True)
    assert (opened.opened_by, opened.reason) == ("ann@laptop", "last pod is gone")


async def test_a_repeat_changes_nothing(session: Session, change: Change) -> None:
    await ack(session, ID, "old-retired")
    again = await ack(session, ID, "old-retired")
    assert (again.open, again.changed) == (True, False)


async def test_the_new_application_cannot_be_live_before_the_fill_is_verified(
    session: Session, conn: Connection, change: Change, bring: Bring
) -> None:
    with pytest.raises(Conflict, match="not filled yet") as refused:
        await ack(session, ID, "app-2")
    assert "absolute values" in refused.value.hint
    assert not await gates.opened(conn, change.number)

    await bring(change, Event.COMPLETE_BACKFILL)
    assert (await ack(session, ID, "app-2")).changed


async def test_what_is_no_gate_is_refused_with_the_nearest_one(session: Session, change: Change) -> None:
    with pytest.raises(UsageError) as refused:
        await ack(session, ID, "old-retire")
    assert refused.value.hint == "did you mean 'old-retired'?"


async def test_it_can_be_revoked_until_the_phase_begins(
    session: Session, conn: Connection, change: Change, bring: Bring
) -> None:
    change = await bring(change, Event.COMPLETE_BACKFILL)
    await ack(session, ID, "app-2")
    assert not (await ack(session, ID, "app-2", revoke=True)).open
    assert not (await ack(session, ID, "app-2", revoke=True)).changed


async def test_it_cannot_be_revoked_afterwards(session: Session, change: Change, bring: Bring) -> None:
    await bring(change, Event.BEGIN_SWITCH)
    with pytest.raises(Conflict, match="has begun"):
        await ack(session, ID, "app-2", revoke=True)


async def test_an_unregistered_plan_leaves_the_database_alone(session: Session, schemas: Any) -> None:
    with pytest.raises(Conflict, match="no change"):
        await ack(session, ID, "app-2")
    assert not schemas()
