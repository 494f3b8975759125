"""Slices, skipped windows, poison rows, verdicts, gates and knobs: small promises, each kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from osc.errors import Conflict, LeaseLost, UsageError
from osc.program import Phase
from osc.state import changes, gates, lease, settings, slices, verifications
from osc.state.refusals import DamagedState
from osc.state.transitions import Event

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

BOUNDS: list[tuple[list[str] | None, list[str] | None]] = [(None, ["5", 'a,"\\{}']), (["5", 'a,"\\{}'], None)]


@pytest.fixture
async def epoch(conn: Session, change: Change) -> int:
    """Give the epoch of a lead that was taken."""
    taken = await lease.take(conn, change.number, uuid4(), 60)
    assert taken
    return taken


async def test_slices_are_made_once_and_keep_their_bounds(conn: Session, change: Change, epoch: int) -> None:
    made = await slices.create(conn, change.number, "fill", BOUNDS, epoch)
    assert [(one.lo, one.hi, one.walk, one.cursor) for one in made] == [(*bound, "keyset", None) for bound in BOUNDS]
    assert await slices.create(conn, change.number, "fill", [(None, None)], epoch) == made
    assert await slices.get(conn, made[1].slice) == made[1]
    with pytest.raises(LeaseLost):
        await slices.create(conn, change.number, "other", BOUNDS, epoch - 1)
    with pytest.raises(DamagedState):
        await slices.get(conn, 999)


async def test_of_ten_claimers_of_a_slice_one_gets_it(conn: Session, session: Open, change: Change, epoch: int) -> None:
    (made,) = await slices.create(conn, change.number, "fill", [(None, None)], epoch)
    sessions = [await session() for _ in range(10)]
    claims = await asyncio.gather(*(slices.claim(one, made, uuid4()) for one in sessions))
    (mine,) = filter(None, claims)
    assert mine.epoch == made.epoch + 1
    await slices.add_filled(conn, made, 100)
    await slices.add_filled(conn, mine, 7)
    assert (await slices.get(conn, made.slice)).rows_filled == 7
    await slices.finish(conn, mine)
    again = await slices.claim(conn, await slices.get(conn, made.slice), uuid4())
    assert again is not None  # finished, but its skipped windows may still wait for a visit
    assert again.epoch == mine.epoch + 1


async def test_a_skipped_window_is_forgotten_by_its_own_lane_only(conn: Session, change: Change, epoch: int) -> None:
    (made,) = await slices.create(conn, change.number, "fill", [(None, None)], epoch)
    mine = await slices.claim(conn, made, uuid4())
    assert mine
    await conn.execute(
        "INSERT INTO osc.skipped (change, step, slice, lo, hi, rows) VALUES (%s, 'fill', %s, NULL, '{9}', 3)",
        [change.number, made.slice],
    )
    (window,) = await slices.skipped(conn, made.slice)
    assert (window.lo, window.hi, window.rows) == (None, ["9"], 3)
    assert not await slices.drop_skipped(conn, made, window.skipped)
    assert await slices.drop_skipped(conn, mine, window.skipped)
    assert await slices.skipped(conn, made.slice) == []


async def test_progress_sums_and_dropping_leaves_nothing(conn: Session, change: Change, epoch: int) -> None:
    made = await slices.create(conn, change.number, "fill", BOUNDS, epoch)
    await conn.execute("UPDATE osc.slice SET rows_seen = 10, rows_filled = 4, batches = 2")
    await conn.execute(
        "INSERT INTO osc.poison (change, step, key, sqlstate) VALUES (%s, 'fill', '{7}', '22012')", [change.number]
    )
    await slices.claim(conn, made[0], uuid4())
    (sums,) = await slices.progress(conn, [change.number])
    assert (sums.slices, sums.lanes, sums.rows_seen, sums.rows_filled, sums.batches, sums.rows_poison) == (
        2, 1, 20, 8, 4, 1,
    )  # fmt: skip
    (row,) = await slices.poison(conn, change.number)
    assert (row.key, row.sqlstate) == (["7"], "22012")
    await slices.clear_poison(conn, row)
    assert await slices.poison(conn, change.number) == []
    with pytest.raises(LeaseLost):
        await slices.drop(conn, change.number, "fill", epoch - 1)
    await slices.drop(conn, change.number, "fill", epoch)
    assert await slices.progress(conn, [change.number]) == []


async def test_only_a_finished_verification_counts_and_the_newest(conn: Session, change: Change, epoch: int) -> None:
    first = await verifications.begin(conn, change.number, "verify", epoch)
    assert await verifications.latest(conn, change.number) == {}
    await verifications.finish(conn, first, rows=10, mismatches=1, sample=[["7"]])
    await verifications.begin(conn, change.number, "verify", epoch)
    verdict = (await verifications.latest(conn, change.number))["verify"]
    assert (verdict.verification, verdict.rows, verdict.mismatches, verdict.sample) == (first, 10, 1, [["7"]])
    assert verdict.started_s_ago >= 0
    with pytest.raises(Conflict):
        await verifications.finish(conn, first, rows=10, mismatches=0)
    with pytest.raises(LeaseLost):
        await verifications.begin(conn, change.number, "verify", epoch - 1)
    await verifications.outdate(conn, change.number, "verify")
    assert await verifications.latest(conn, change.number) == {}


async def test_gates_open_early_once_and_until_their_phase_begins(conn: Session, change: Change, epoch: int) -> None:
    assert await gates.open_gate(conn, change, "app-2.4", who="pipeline", reason="deployed")
    assert not await gates.open_gate(conn, change, "app-2.4", who="other")
    gate = (await gates.opened(conn, change.number))["app-2.4"]
    assert (gate.opened_by, gate.role, gate.reason) == ("pipeline", "postgres", "deployed")
    assert gate.program_hash == change.program_hash
    assert await gates.revoke_gate(conn, change, "app-2.4", Phase.EXPAND, who="sre")
    assert not await gates.revoke_gate(conn, change, "app-2.4", Phase.EXPAND, who="sre")
    await gates.open_gate(conn, change, "app-2.4", who="pipeline")
    await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
    with pytest.raises(Conflict, match="has begun"):
        await gates.revoke_gate(conn, change, "app-2.4", Phase.EXPAND, who="sre")
    assert "app-2.4" in await gates.opened(conn, change.number)


async def test_a_gate_given_for_another_program_is_given_anew(conn: Session, change: Change) -> None:
    await gates.open_gate(conn, change, "dba", who="anna")
    await conn.execute("UPDATE osc.change SET program_hash = 'revised'")
    revised = await changes.get(conn, change.number)
    assert (await gates.opened(conn, change.number))["dba"].program_hash != revised.program_hash
    assert await gates.open_gate(conn, revised, "dba", who="bert")
    assert (await gates.opened(conn, change.number))["dba"].opened_by == "bert"
    await conn.execute("UPDATE osc.change SET state = 'done'")
    with pytest.raises(Conflict):
        await gates.open_gate(conn, await changes.get(conn, change.number), "late", who="anna")


async def test_the_narrowest_and_newest_knob_that_has_not_expired_wins(conn: Session, change: Change) -> None:
    async def speed() -> str | None:
        knob = (await settings.knobs(conn, change.id, change.tables)).get("speed")
        return knob.value if knob else None

    async def turn(scope: str, value: str | None, ttl_s: float | None = None) -> None:
        await settings.set_knob(conn, scope, "speed", value, ttl_s=ttl_s, who="sre")

    assert await speed() is None
    await turn("*", "0.9")
    await turn("table:public.users", "0.5")
    assert await speed() == "0.5"
    await turn("change:00001_users", "0.3")
    await turn("change:00001_users", "0.2", ttl_s=0.2)
    assert await speed() == "0.2"
    await asyncio.sleep(0.25)
    assert await speed() == "0.3"
    await turn("change:00001_users", None)
    await turn("table:public.users", "0.4", ttl_s=3600)
    await turn("table:public.orders", "0.1")
    knob = (await settings.knobs(conn, change.id, change.tables))["speed"]
    assert (knob.value, knob.scope, knob.set_by) == ("0.4", "table:public.users", "sre")
    assert knob.expires_in_s is not None
    assert 3590 < knob.expires_in_s <= 3600
    with pytest.raises(UsageError):
        await turn("everywhere", "1")
