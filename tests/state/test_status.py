"""Status shows everything, waits for nothing and changes nothing, also where there is no state."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from osc.program import Phase
from osc.state import changes, gates, journal, lease, pauses, slices, verifications
from osc.state.refusals import NewerState
from osc.state.status import status
from osc.state.transitions import Event, State

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]


async def test_without_a_schema_there_is_nothing_to_show(session: Open) -> None:
    conn = await session()
    assert await status(conn) == []
    assert await (await conn.execute("SELECT to_regnamespace('osc')")).fetchone() == (None,)


async def test_it_shows_what_is_known_of_a_change(conn: Session, change: Change) -> None:
    owner = uuid4()
    await lease.register_executor(conn, owner, host="job", pid=1, kind="apply")
    epoch = await lease.take(conn, change.number, owner, 60)
    assert epoch
    change = await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
    await journal.start(conn, change.number, 1, epoch)
    await journal.waiting(conn, change.number, 1, epoch, "lock", {"pid": 9})
    await slices.create(conn, change.number, "fill", [(None, None)], epoch)
    verdict = await verifications.begin(conn, change.number, "verify", epoch)
    await verifications.finish(conn, verdict, rows=1, mismatches=0)
    await gates.open_gate(conn, change, "app", who="pipeline")
    await pauses.pause(conn, "*", who="sre", reason="incident")

    (shown,) = await status(conn)

    assert shown.change.state is State.EXPANDING
    assert shown.change.effective_pause
    assert shown.change.effective_pause.reason == "incident"
    assert list(shown.phases) == [Phase.EXPAND]
    assert shown.current
    assert (shown.current.waiting, shown.current.detail) == ("lock", {"pid": 9})
    assert (len(shown.steps), shown.steps_done) == (5, 0)
    assert shown.progress["fill"].slices == 1
    assert shown.verifications["verify"].mismatches == 0
    assert shown.gates["app"].opened_by == "pipeline"
    assert shown.leader
    assert (shown.leader.host, shown.leader.alive) == ("job", True)
    assert "rollback" in shown.allowed_verbs


async def test_it_shows_open_changes_or_all_attempts_of_one(conn: Session, change: Change) -> None:
    await conn.execute("UPDATE osc.change SET state = 'rolled_back'")
    assert await status(conn) == []
    assert [one.change.number for one in await status(conn, change.id)] == [change.number]
    assert await status(conn, "00009_nobody") == []


async def test_it_waits_for_no_writer_and_takes_no_strong_lock(conn: Session, session: Open, change: Change) -> None:
    writer = await session()
    async with writer.transaction():
        for table in ("change", "step", "slice", "lease", "heartbeat", "event", "gate", "pause", "phase", "meta"):
            await writer.execute(f"LOCK TABLE osc.{table} IN EXCLUSIVE MODE")
        await conn.execute("SET lock_timeout = '100ms'")
        assert len(await asyncio.wait_for(status(conn), 2)) == 1


async def test_it_works_for_a_session_that_may_not_write(conn: Session, change: Change) -> None:
    await conn.execute("SET default_transaction_read_only = on")
    assert len(await status(conn)) == 1


async def test_state_of_a_newer_program_is_not_guessed_at(conn: Session) -> None:
    await conn.execute("UPDATE osc.meta SET schema_version = 99")
    with pytest.raises(NewerState):
        await status(conn)
