"""Leading: who lost the lead learns it at the next question or heartbeat, and a successor finds nobody at work."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import anyio
import psycopg
import pytest

from osc.errors import LeaseLost, OutcomeUnknown
from osc.executor.lead import Executor, Lead
from osc.executor.runner import run_change
from osc.pg.session import run
from osc.pg.target import Target
from osc.program import Phase
from osc.settings import DEFAULTS, Settings
from osc.state import changes
from osc.state.changes import Change
from osc.verbs.apply import apply
from osc.verbs.session import Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

CALM = replace(DEFAULTS, heartbeat_s=60.0, lease_s=120.0)
"""No heartbeat finds out before the test does."""
PLAN = "osc: 1\ntitle: t\noperations:\n  - create_index: {table: items, name: items_note, columns: [note]}\n"


@pytest.fixture
async def change(dsn: str, tmp_path: Any) -> Change:
    """Give a registered change that wishes nothing yet."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE items (id bigint PRIMARY KEY, note text)")
    path = tmp_path / "00001_notes.yaml"
    path.write_text(PLAN)
    session = Session(Target.resolve(dsn), who="test")
    await apply(session, path, to=Phase.BACKFILL, detach=True)
    async with session.state("test") as state:
        found = await changes.find(state, "00001_notes")
    assert found is not None
    return found


def executor(dsn: str, settings: Settings = CALM) -> Executor:
    return Executor(Target.resolve(dsn), "test", settings)


async def leading(executor: Executor, change: Change, work: Callable[[Lead], Awaitable[None]]) -> None:
    async with executor.lead(change) as lead:
        assert lead is not None
        await work(lead)


async def steal(lead: Lead) -> None:
    await lead.ask(run(lead.control, "UPDATE osc.heartbeat SET expires_at = now()", deadline_s=5))
    await lead.ask(run(lead.control, "SELECT osc.take_lease(1, gen_random_uuid(), 60)", deadline_s=5))


async def test_whoever_asks_whether_to_go_on_learns_that_the_lead_is_lost(dsn: str, change: Change) -> None:
    async def work(lead: Lead) -> None:
        await steal(lead)
        await lead.may_go_on()

    with pytest.raises(LeaseLost):
        await leading(executor(dsn), change, work)


async def test_a_question_cancelled_before_its_turn_leaves_nothing_behind(dsn: str, change: Change) -> None:
    async def work(lead: Lead) -> None:
        question = run(lead.control, "SELECT 1", deadline_s=5)
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: lead.ask(run(lead.control, "SELECT pg_sleep(0.2)", deadline_s=5)))
            await anyio.lowlevel.checkpoint()
            group.start_soon(lambda: lead.ask(question))
            await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        assert inspect.getcoroutinestate(question) == inspect.CORO_CLOSED
        await lead.ask(run(lead.control, "SELECT 1", deadline_s=5))  # and the turn was given back

    await leading(executor(dsn), change, work)


async def test_a_heartbeat_that_finds_another_leader_cancels_the_work(dsn: str, change: Change) -> None:
    async def work(lead: Lead) -> None:
        await steal(lead)
        await anyio.sleep(60)

    with pytest.raises(LeaseLost), anyio.fail_after(20):
        await leading(executor(dsn, replace(CALM, heartbeat_s=0.05)), change, work)


async def test_a_heartbeat_whose_session_ended_ends_the_work(dsn: str, change: Change) -> None:
    async def work(lead: Lead) -> None:
        await run(lead.observer, f"SELECT pg_terminate_backend({lead.heart.info.backend_pid})", deadline_s=5)
        await anyio.sleep(60)

    with pytest.raises(psycopg.OperationalError), anyio.fail_after(20):
        await leading(executor(dsn, replace(CALM, heartbeat_s=0.05)), change, work)


async def test_a_successor_begins_when_what_its_predecessor_ran_has_ended(dsn: str, change: Change) -> None:
    orphan = None
    with suppress(LeaseLost):
        async with executor(dsn).lead(change) as lead:
            assert lead is not None
            orphan = await lead.worker("orphan")
            pid = orphan.info.backend_pid
            sleep = asyncio.ensure_future(orphan.execute("SELECT pg_sleep(60)"))
            await run(lead.control, "UPDATE osc.heartbeat SET expires_at = now()", deadline_s=5)
            async with executor(dsn).lead(change) as successor:
                assert successor is not None
                seen = await run(successor.observer, f"SELECT FROM pg_stat_activity WHERE pid = {pid}", deadline_s=5)
                assert await seen.fetchone() is None
                with pytest.raises(psycopg.OperationalError):
                    await sleep
    assert orphan is not None
    await orphan.close()


async def test_a_backend_that_does_not_end_stops_the_successor(
    dsn: str, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> bool:
        return False

    monkeypatch.setattr("osc.pg.activity.terminate", nothing)
    async with executor(dsn).lead(change) as lead:
        assert lead is not None
        await run(lead.control, "UPDATE osc.heartbeat SET expires_at = now()", deadline_s=5)
        with pytest.raises(OutcomeUnknown, match="still runs"):
            async with executor(dsn, replace(CALM, takeover_wait_s=0.2)).lead(change):
                pass


async def test_the_lead_is_free_at_once_when_the_work_ends(dsn: str, change: Change) -> None:
    for _ in range(2):
        async with executor(dsn).lead(change) as lead:
            assert lead is not None


async def test_leading_holds_no_advisory_lock(dsn: str, change: Change) -> None:
    """F17, F35, F91: one could be stranded behind a pooler, and an index build would wait for whoever waits for it."""
    async with executor(dsn).lead(change) as lead:
        assert lead is not None
        held = "SELECT FROM pg_locks WHERE locktype = 'advisory'"
        assert await (await run(lead.observer, held, deadline_s=5)).fetchone() is None


async def test_a_cancelled_command_cancels_its_statement_and_gives_the_lead_up(dsn: str, change: Change) -> None:
    with anyio.move_on_after(0.5):
        async with executor(dsn).lead(change) as lead:
            assert lead is not None
            await run(lead.work, "SELECT pg_sleep(60)", deadline_s=60)
    async with executor(dsn).lead(change) as successor:
        assert successor is not None
        running = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        assert await (await run(successor.observer, running, deadline_s=5)).fetchone() is None


async def test_sessions_that_end_without_any_progress_are_opened_so_often_and_no_more(dsn: str, change: Change) -> None:
    leads = 0

    async def work(lead: Lead) -> None:
        nonlocal leads
        leads += 1
        await run(lead.observer, f"SELECT pg_terminate_backend({lead.work.info.backend_pid})", deadline_s=5)
        await run(lead.work, "SELECT 1", deadline_s=5)

    settings = replace(CALM, leads_max=3, transient_pause_first_s=0.01)
    with pytest.raises(Exception, match="again and again"):
        await run_change(executor(dsn, settings), change, work)
    assert leads == 3
