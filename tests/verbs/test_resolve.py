"""A person's verdict on an ambiguous step: with a reason, on that step only, kept in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import Conflict, OutcomeUnknown, UsageError
from osc.state import changes, events, journal
from osc.state.transitions import Event
from osc.verbs.resolve import resolve
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.verbs.conftest import Leading

pytestmark = pytest.mark.anyio

STEP = "expand.01.add_column.pgbench_accounts.balance"


@pytest.fixture
async def ambiguous(conn: Connection, change: Change, leading: Leading) -> Change:
    """Give the change with its first step ambiguous."""
    async with leading(change) as epoch:
        change = await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
        await journal.start(conn, change.number, 1, epoch)
        error = OutcomeUnknown("reply lost").as_json()
        await journal.ambiguous(conn, change.number, 1, epoch, error)
        await changes.problem(conn, change.number, {**error, "step": STEP})
    return change


@pytest.mark.parametrize(("happened", "state"), [(True, "done"), (False, "pending")])
async def test_the_verdict_decides_how_the_step_counts(
    session: Session, conn: Connection, ambiguous: Change, happened: bool, state: str
) -> None:
    resolved = await resolve(session, ID, STEP, happened=happened, reason="looked with psql")
    row = (await journal.steps(conn, ambiguous.number))[0]
    assert row.state == state
    assert f"osc advance {ID}" in resolved.message
    assert (await changes.get(conn, ambiguous.number)).problem is None
    last = (await events.history(conn, ambiguous.number))[-1]
    assert (last.kind, last.who, last.data["reason"]) == ("resolve", "ann@laptop", "looked with psql")


async def test_a_verdict_needs_a_reason(session: Session, ambiguous: Change) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        await resolve(session, ID, STEP, happened=True, reason="  ")


async def test_only_an_ambiguous_step_takes_one(session: Session, change: Change) -> None:
    with pytest.raises(Conflict, match="is pending, not ambiguous"):
        await resolve(session, ID, STEP, happened=True, reason="looked")


async def test_an_unknown_step_is_refused_with_those_that_are_ambiguous(session: Session, ambiguous: Change) -> None:
    with pytest.raises(UsageError) as refused:
        await resolve(session, ID, "expand.01", happened=True, reason="looked")
    assert STEP in refused.value.hint
