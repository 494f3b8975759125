"""Two pieces in flight: what the first one says is what counts, and the second writes nothing that it should not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.executor.backfill.crew import crew_for
from osc.executor.backfill.lane import SliceTaken
from osc.state import pauses, slices
from tests.backfill.test_walks import BIGINT, started, value, wide

if TYPE_CHECKING:
    from osc.executor.backfill.lane import Lane
    from osc.executor.backfill.rounds import Piece
    from tests.backfill.conftest import App, Begin, Filling, OpenApp

pytestmark = pytest.mark.anyio

ROWS = 2_000


async def with_pieces(filling: Filling) -> Lane:
    """Return a lane at the beginning of a wave that goes in several pieces, with nothing in flight."""
    lane = await filling.lane(rows=2, walk="blocks", waves=4)
    lane.waves.rested, lane.lengths.reach = 0, 4
    await lane.batch()
    await lane.settle()
    assert lane.lengths.pieces is not None
    for one in (lane.lengths.pieces.moving, lane.lengths.pieces.staying):
        one.rows = one.rows_max = 3  # so that they do not grow meanwhile
    return lane


def due(lane: Lane) -> list[Piece]:
    """Return the next two pieces."""
    assert lane.lengths.pieces is not None
    found = [lane._round.take(lane.lengths.pieces), lane._round.take(lane.lengths.pieces)]
    for piece in reversed(found):
        assert piece is not None
        lane._round.put_back(piece)
    return [piece for piece in found if piece is not None]


async def next_row(lane: Lane, conn: App) -> int:
    """Return the key of a row that the next piece would fill."""
    piece = due(lane)[0]
    first, behind = piece.window.shares.places(piece.number)
    place = f"get_byte(tidsend(ctid), 5) % {piece.window.shares.of}"
    assert piece.lo is not None
    unfilled = f"SELECT min(id) FROM t WHERE n IS NULL AND ctid > '{piece.lo[0]}'::tid"
    return int(await value(conn, f"{unfilled} AND {place} BETWEEN {first} AND {behind - 1}"))


async def seq(lane: Lane) -> int:
    return (await lane.lead.ask(slices.get(lane.lead.control, lane.slice.slice))).seq


async def held(app: OpenApp, key: int) -> App:
    """Return a session that holds a row."""
    holder = await app(autocommit=False)
    await holder.execute("SELECT FROM t WHERE id = %s FOR UPDATE", [key])
    return holder


async def test_the_next_piece_lies_ready_while_one_is_done(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, ROWS)
    lane = await with_pieces(await begin(BIGINT))
    assert (await lane.batch())[1] > 0
    assert len(lane._sent) == 1
    told = lane.tally.filled
    assert await lane.settle() == lane.tally.filled - told > 0
    assert await value(one, "SELECT count(n) FROM t") == lane.tally.filled
    assert lane.seq == await seq(lane)


async def test_a_lane_that_rests_between_two_pieces_sends_each_alone(begin: Begin, app: OpenApp) -> None:
    await wide(app, ROWS)
    lane = await with_pieces(await begin(BIGINT))
    lane.speed = 0.9
    assert (await lane.batch())[1] > 0
    assert not lane._sent


async def test_a_piece_behind_one_that_was_not_done_writes_nothing_and_is_done_later(
    begin: Begin, app: OpenApp
) -> None:
    one = await wide(app, ROWS)
    lane = await with_pieces(filling := await begin(BIGINT))
    before, was = await value(one, "SELECT count(n) FROM t"), lane.seq
    holder, behind = await held(app, await next_row(lane, one)), due(lane)[1]
    assert await lane.batch() == (False, 0)
    assert not lane._sent
    assert due(lane)[0] == behind
    assert await value(one, "SELECT count(n) FROM t") == before
    assert lane.seq == was == await seq(lane)
    await holder.rollback()
    await filling.walk(lane)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0
    assert lane.tally.filled == ROWS  # each row once


async def test_a_pause_stops_the_piece_that_waits_on_the_server(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, ROWS)
    lane = await with_pieces(await begin(BIGINT))
    await lane.conn.execute("SET lock_timeout = '10s'; SET statement_timeout = '10s'")
    holder = await held(app, await next_row(lane, one))
    running = asyncio.create_task(lane.batch())
    await asyncio.sleep(0.2)
    assert not running.done()
    await lane.lead.ask(pauses.pause(lane.lead.control, "*", who="sre", reason="look"))
    await holder.rollback()
    assert (await running)[1] > 0  # it began before the pause
    (stopped,) = lane._sent
    before = await value(one, "SELECT count(n) FROM t")
    waiting = asyncio.create_task(lane.batch())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert not lane._sent
    assert due(lane)[0] == stopped
    assert await value(one, "SELECT count(n) FROM t") == before
    await lane.lead.ask(pauses.resume(lane.lead.control, "*", who="sre"))
    await waiting
    assert (await lane.batch())[1] > 0


async def test_a_lane_whose_slice_was_taken_leaves_its_session_free_for_the_next(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, ROWS)
    filling = await begin(BIGINT)
    old = await with_pieces(filling)
    new = await filling.lane(rows=2, walk="blocks", waves=4)
    before = await value(one, "SELECT count(n) FROM t")
    with pytest.raises(SliceTaken):
        await old.batch()
    assert await value(old.conn, "SELECT count(n) FROM public.t") == before  # type: ignore[arg-type]
    await filling.walk(new)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_a_lane_that_is_cancelled_leaves_nothing_behind_that_writes_later(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, ROWS)
    lane = await with_pieces(await begin(BIGINT))
    await lane.conn.execute("SET lock_timeout = '10s'; SET statement_timeout = '10s'")
    before = await value(one, "SELECT count(n) FROM t")
    holder = await held(app, await next_row(lane, one))
    running = asyncio.create_task(lane.batch())
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await holder.rollback()
    await asyncio.sleep(0.3)
    assert await value(one, "SELECT count(n) FROM t") == before
    assert await seq(lane) == lane.seq


async def test_who_cancels_what_comes_before_a_piece_stops_nothing(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app, ROWS)
    lane = await with_pieces(await begin(BIGINT))
    (first, _), live, tries = due(lane), lane.session.live, iter((True, False, False))

    async def cancelled_once(life: int) -> None:
        if next(tries):
            raise psycopg.errors.QueryCanceled
        await live(life)

    monkeypatch.setattr(lane.session, "live", cancelled_once)
    assert (await lane.batch())[1] > 0
    assert lane._sent[0] != first  # which is done


async def test_a_lane_that_is_not_wanted_any_more_counts_what_is_in_flight(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await wide(app, ROWS)
    filling = await begin(BIGINT)
    lane = await with_pieces(filling)
    crew = await crew_for(filling.lead, filling.step, await started(filling))
    looks = iter((True, False))
    monkeypatch.setattr(crew, "_is_wanted", lambda _: next(looks))
    async with crew.throttle.watching():
        before = lane.tally.filled
        assert await crew._to_the_end(0, lane) is False
    assert not lane._sent
    assert crew.meter.seen == lane.tally.filled - before > 0
    assert await value(one, "SELECT count(n) FROM t") == lane.tally.filled
    assert (await filling.slice(lane)).seq == lane.seq
