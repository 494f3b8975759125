"""One executor leads; whoever led before can finish nothing any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from osc.errors import Conflict, LeaseLost
from osc.state import journal, lease, pauses, slices
from osc.state.journal import fence_fragment

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]


def message(change: Change, ordinal: int, epoch: int, before: str = "", **kwargs: Any) -> str:
    """Return a DO block as the executor sends it: the work, then the fence."""
    states = {"from_states": ["started"], "to_state": "done", **kwargs}
    return f"DO $osc$\nBEGIN\n{before}\n{fence_fragment(change.number, ordinal, epoch, **states)}\nEND\n$osc$"


async def expire(conn: Session) -> None:
    """Let every lease run out."""
    await conn.execute("UPDATE osc.heartbeat SET expires_at = clock_timestamp() - interval '1 second'")


async def taken(conn: Session, change: Change) -> int:
    """Take the lead with a new owner."""
    epoch = await lease.take(conn, change.number, uuid4(), 60)
    assert epoch is not None
    return epoch


async def test_of_ten_takers_exactly_one_leads(conn: Session, session: Open, change: Change) -> None:
    sessions = [await session() for _ in range(10)]
    for round_ in range(1, 6):
        await expire(conn)
        epochs = await asyncio.gather(*(lease.take(one, change.number, uuid4(), 60) for one in sessions))
        assert sorted(filter(None, epochs)) == [round_]


async def test_a_running_lease_keeps_others_out_until_it_expires_or_is_released(conn: Session, change: Change) -> None:
    mine, other = uuid4(), uuid4()
    assert await lease.take(conn, change.number, mine, 60) == 1
    assert await lease.take(conn, change.number, other, 60) is None
    assert await lease.take(conn, change.number, mine, 60) == 2, "the owner itself may, and its old epoch ends"
    assert not await lease.release(conn, change.number, mine, 1)
    assert await lease.release(conn, change.number, mine, 2)
    assert await lease.leader(conn, change.number) is None
    assert await lease.take(conn, change.number, other, 60) == 3
    await expire(conn)
    assert await lease.take(conn, change.number, mine, 60) == 4


async def test_a_heartbeat_extends_the_lease_of_its_own_epoch_only(conn: Session, change: Change) -> None:
    owner = uuid4()
    await lease.register_executor(conn, owner, host="db-job-1", pid=42, kind="worker")
    epoch = await lease.take(conn, change.number, owner, 60)
    assert epoch
    await expire(conn)
    leader = await lease.leader(conn, change.number)
    assert leader
    assert (leader.host, leader.pid, leader.kind, leader.alive) == ("db-job-1", 42, "worker", False)
    assert await lease.heartbeat(conn, change.number, owner, epoch)
    leader = await lease.leader(conn, change.number)
    assert leader
    assert leader.alive
    assert 50 < leader.expires_in_s <= 60
    assert not await lease.heartbeat(conn, change.number, owner, epoch - 1)
    await expire(conn)
    await taken(conn, change)
    assert not await lease.heartbeat(conn, change.number, owner, epoch)


async def test_a_zombie_cannot_finish_the_step_it_started(conn: Session, change: Change) -> None:
    zombie = await taken(conn, change)
    await journal.start(conn, change.number, 1, zombie)
    await expire(conn)
    successor = await taken(conn, change)

    with pytest.raises(psycopg.Error) as fenced:
        await conn.execute(message(change, 1, zombie, "CREATE TABLE public.made_by_zombie (n integer);"))
    assert fenced.value.sqlstate == "OSC01"
    assert await (await conn.execute("SELECT to_regclass('public.made_by_zombie')")).fetchone() == (None,)
    for attempt in (
        journal.finish(conn, change.number, 1, zombie),
        journal.fail(conn, change.number, 1, zombie, {}),
        journal.waiting(conn, change.number, 1, zombie, "lock"),
        journal.note(conn, change.number, 1, zombie, {}),
        journal.start(conn, change.number, 2, zombie),
        journal.begin_undo(conn, change.number, 1, zombie),
    ):
        with pytest.raises(LeaseLost):
            await attempt

    row = await journal.start(conn, change.number, 1, successor)
    assert (row.epoch, row.attempts, row.state) == (successor, 2, "started")
    await conn.execute(message(change, 1, successor, result_sql="jsonb_build_object('oid', 7)"))
    done = (await journal.steps(conn, change.number))[0]
    assert (done.state, done.result, done.done_at is not None) == ("done", {"oid": 7}, True)


async def test_the_row_of_the_step_fences_even_where_the_lease_was_read_too_early(
    conn: Session, session: Open, change: Change
) -> None:
    """A zombie whose snapshot of the lease is from before the takeover still finds no row (rationale.md 8c)."""
    zombie = await taken(conn, change)
    await journal.start(conn, change.number, 1, zombie)
    await expire(conn)
    successor, late = await session(), await session()
    async with successor.transaction():
        await successor.execute("SELECT osc.take_lease(%s, %s, 60)", [change.number, uuid4()])
        # The takeover is not committed: the zombie still sees its own epoch in the lease, and waits for the step's row.
        writing = asyncio.create_task(late.execute(message(change, 1, zombie)))
        await asyncio.sleep(0.3)
        assert not writing.done()
    with pytest.raises(psycopg.Error) as fenced:
        await writing
    assert fenced.value.sqlstate == "OSC01"


async def test_a_step_started_while_a_takeover_commits_is_fenced_or_refused(
    conn: Session, session: Open, change: Change
) -> None:
    zombie = await taken(conn, change)
    await expire(conn)
    successor, late = await session(), await session()
    async with successor.transaction():
        await successor.execute("SELECT osc.take_lease(%s, %s, 60)", [change.number, uuid4()])
        starting = asyncio.create_task(journal.start(late, change.number, 1, zombie))
        await asyncio.sleep(0.3)
        assert not starting.done(), "starting shares the lease row, which the takeover holds"
    with pytest.raises(LeaseLost):
        await starting

    async with late.transaction():
        await journal.start(late, change.number, 1, zombie + 1)
        await expire(conn)
        taking = asyncio.create_task(lease.take(successor, change.number, uuid4(), 60))
        await asyncio.sleep(0.3)
        assert not taking.done(), "the takeover waits for the start, and then sees the step"
    assert await taking == zombie + 2
    assert (await journal.steps(conn, change.number))[0].epoch == zombie + 2


async def test_a_pause_stops_a_transaction_that_was_under_way(conn: Session, session: Open, change: Change) -> None:
    epoch = await taken(conn, change)
    await journal.start(conn, change.number, 1, epoch)
    operator = await session()
    for scope in ("change:00001_users", "table:public.users", "*"):
        ddl = asyncio.create_task(conn.execute(message(change, 1, epoch, "PERFORM pg_sleep(0.4);")))
        await asyncio.sleep(0.1)
        assert await asyncio.wait_for(pauses.pause(operator, scope, who="sre", reason="load"), 0.2)
        with pytest.raises(psycopg.Error) as paused:
            await ddl
        assert paused.value.sqlstate == "OSC02"
        assert await pauses.resume(operator, scope, who="sre")
    assert (await journal.steps(conn, change.number))[0].state == "started"
    await conn.execute(message(change, 1, epoch))


async def test_a_takeover_fences_every_slice_finished_ones_too(conn: Session, change: Change) -> None:
    epoch = await taken(conn, change)
    made = await slices.create(conn, change.number, "fill", [(None, ["5"]), (["5"], None)], epoch)
    lane = [await slices.claim(conn, one, uuid4()) for one in made]
    assert lane[0]
    assert lane[1]
    await slices.finish(conn, lane[0])
    await expire(conn)
    await taken(conn, change)
    finished, open_ = await slices.of_step(conn, change.number, "fill")
    assert (finished.epoch, finished.owner) == (lane[0].epoch + 1, None)  # its skipped windows may still be visited
    assert (open_.epoch, open_.owner) == (lane[1].epoch + 1, None)
    with pytest.raises(LeaseLost):
        await slices.finish(conn, lane[1])


async def test_backends_of_old_epochs_are_found_alive_or_gone(conn: Session, session: Open, change: Change) -> None:
    owner, epoch = uuid4(), await taken(conn, change)
    helper = await session()
    row = await (
        await helper.execute("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    ).fetchone()
    assert row
    for _ in range(2):
        await lease.record_backend(conn, change.number, owner, epoch, *row)
    await expire(conn)
    successor = await taken(conn, change)
    with pytest.raises(LeaseLost):
        await lease.record_backend(conn, change.number, owner, epoch, *row)
    assert [one.alive for one in await lease.old_backends(conn, change.number, successor)] == [True]
    await helper.close()
    for _ in range(50):
        (old,) = await lease.old_backends(conn, change.number, successor)
        if not old.alive:
            break
        await asyncio.sleep(0.05)
    assert (old.pid, old.owner, old.alive) == (row[0], owner, False)
    await lease.forget_backends(conn, change.number, successor)
    assert await lease.old_backends(conn, change.number, successor) == []


async def test_executors_not_seen_for_long_are_forgotten_unless_they_lead(conn: Session, change: Change) -> None:
    gone, leading = uuid4(), uuid4()
    for owner in (gone, leading, leading):
        await lease.register_executor(conn, owner, host="h", pid=1, kind="apply")
    await lease.take(conn, change.number, leading, 60)
    assert await lease.forget_executors(conn, 3600) == 0
    assert await lease.forget_executors(conn, -1) == 1
    leader = await lease.leader(conn, change.number)
    assert leader
    assert leader.host == "h"


async def test_the_journal_goes_forward_and_back(conn: Session, change: Change) -> None:
    epoch, number = await taken(conn, change), change.number
    with pytest.raises(Conflict):
        await journal.begin_undo(conn, number, 1, epoch)
    await journal.start(conn, number, 1, epoch)
    await journal.note(conn, number, 1, epoch, {"oid": 1})
    await journal.waiting(conn, number, 1, epoch, "lock", {"pid": 9})
    waiting = (await journal.steps(conn, number))[0]
    await journal.waiting(conn, number, 1, epoch, "lock", {"pid": 8})
    still = (await journal.steps(conn, number))[0]
    assert (still.waiting, still.detail, still.waiting_since) == ("lock", {"pid": 8}, waiting.waiting_since)
    await journal.fail(conn, number, 1, epoch, {"sqlstate": "55P03"})
    failed = (await journal.steps(conn, number))[0]
    assert (failed.state, failed.waiting, failed.error) == ("failed", None, {"sqlstate": "55P03"})
    await journal.start(conn, number, 1, epoch)
    await journal.finish(conn, number, 1, epoch, {"oid": 2})
    await journal.waiting(conn, number, 1, epoch, "lock")  # who looks on may be late, which is no conflict
    assert (await journal.steps(conn, number))[0].waiting is None
    with pytest.raises(Conflict, match=r"step 1 \(done"):
        await journal.start(conn, number, 1, epoch)
    with pytest.raises(Conflict, match=r"step 2 \(pending"):
        await journal.waiting(conn, number, 2, epoch, "lock")
    undoing = await journal.begin_undo(conn, number, 1, epoch)
    assert (undoing.state, undoing.result, undoing.attempts) == ("undoing", {"oid": 2}, 3)
    await journal.fail(conn, number, 1, epoch, {"sqlstate": "57014"})
    assert (await journal.steps(conn, number))[0].state == "undoing"
    await journal.undone(conn, number, 1, epoch)
    assert (await journal.start(conn, number, 1, epoch)).result is None


@pytest.mark.parametrize(
    ("was", "happened", "now"),
    [("started", True, "done"), ("started", False, "pending"), ("undoing", True, "undone"), ("undoing", False, "done")],
)
async def test_an_ambiguous_step_waits_for_a_person(
    conn: Session, change: Change, was: str, happened: bool, now: str
) -> None:
    epoch, number = await taken(conn, change), change.number
    await journal.start(conn, number, 1, epoch)
    if was == "undoing":
        await journal.begin_undo(conn, number, 1, epoch)
    await journal.ambiguous(conn, number, 1, epoch, {"sqlstate": "08007"})
    for attempt in (journal.start, journal.begin_undo):
        with pytest.raises(Conflict):
            await attempt(conn, number, 1, epoch)
    await journal.resolve(conn, number, 1, happened=happened, who="dba", reason="looked")
    assert (await journal.steps(conn, number))[0].state == now
    with pytest.raises(Conflict):
        await journal.resolve(conn, number, 1, happened=happened, who="dba", reason="looked")
