"""History tells who did what and why, and whether anybody has rewritten it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import Conflict
from osc.verbs.ack import ack
from osc.verbs.history import history
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio


async def test_it_tells_what_happened_in_order(session: Session, change: Change) -> None:
    await ack(session, ID, "old-retired", reason="gone")
    found = await history(session, ID)
    assert [entry.event.kind for entry in found.entries] == ["register", "ack"]
    assert (found.whole, found.verdict) == (True, "2 events, their hash chain is whole")
    assert found.as_json()["events"][1]["data"]["reason"] == "gone"


async def test_a_rewritten_event_is_found_out(session: Session, change: Change, connect: Connect) -> None:
    with connect() as attacker:
        attacker.execute("ALTER TABLE osc.event DISABLE TRIGGER event_is_append_only")
        attacker.execute("UPDATE osc.event SET who = 'somebody else'")
    found = await history(session, ID)
    assert not found.whole
    assert "BROKEN" in found.verdict


async def test_without_an_id_everything_is_told(session: Session, change: Change) -> None:
    assert [entry.change_id for entry in (await history(session)).entries] == [ID]


async def test_a_database_without_state_has_no_history(session: Session) -> None:
    assert (await history(session)).entries == ()
    with pytest.raises(Conflict):
        await history(session, ID)
