"""Walks by blocks, waves and lanes against a server: every row once, whatever moves, raises, is locked or rewritten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from osc.errors import Refused
from osc.executor.backfill.crew import crew_for
from osc.executor.backfill.ground import Rewritten
from osc.executor.backfill.waves import REST_FIRST, Shares
from osc.executor.backfill.windows import Windows
from osc.executor.handlers import fill, verify
from osc.sql.batch import MOVED
from osc.sql.pages import block_of
from osc.state import journal, lease, pauses, slices
from tests.acceptance.processes import ALL_WALKS

if TYPE_CHECKING:
    from osc.executor.backfill.lane import Lane
    from osc.executor.backfill.lengths import Sizes
    from osc.executor.lead import Lead
    from osc.state.journal import StepRow
    from tests.backfill.conftest import App, Begin, Filling, OpenApp

pytestmark = pytest.mark.anyio

BIGINT = "- change_column: {table: t, column: s, to: n, type: bigint, up: 's::bigint', down: 'n::int'}"
WIDE = "CREATE TABLE t (id bigint PRIMARY KEY, s int, x int, pad text DEFAULT repeat('x', 90))"
TO_INT = "- change_column: {table: t, column: s, to: n, type: integer, up: 's::int', down: 'n::text'}"

every_walk = pytest.mark.parametrize(("walk", "waves", "lanes"), ALL_WALKS)


async def wide(app: OpenApp, rows: int = 2_000) -> App:
    """Make table ``t`` of wide rows, about 60 a block, with an index more."""
    one = await app()
    await one.execute(WIDE)
    await one.execute("INSERT INTO t SELECT i, i, i FROM generate_series(1, %s) AS i", [rows])
    await one.execute("CREATE INDEX ON t (x)")
    await one.execute("VACUUM (ANALYZE) t")
    return one


async def behind_its_waves(filling: Filling, rows: int, walk: str) -> tuple[Lane, Sizes]:
    """Return a lane whose waves went through the windows of a round, which are to be ended, and the sizes of its pieces."""
    lane = await filling.lane(rows=rows, walk=walk, waves=4)
    lane.waves.rested = 0
    await lane.batch()
    while lane._round.is_ahead:
        await lane.batch()
    await lane.settle()
    assert lane.lengths.pieces is not None
    return lane, lane.lengths.pieces


async def value(conn: App, sql: str) -> Any:
    row = await (await conn.execute(sql.encode())).fetchone()
    return row and row[0]


async def started(filling: Filling) -> StepRow:
    lead = filling.lead
    row = next(row for row in await lead.ask(journal.steps(lead.control, lead.number)) if row.step == filling.step.id)
    return await lead.ask(journal.start(lead.control, lead.number, row.ordinal, lead.epoch))


def told(filling: Filling, walk: str, waves: int | str, lanes: int, **more: Any) -> Lead:
    """Let the fill be walked so, in small batches and slices."""
    filling.lead.executor.settings = replace(
        filling.lead.settings, walk=walk, waves=waves, lanes=lanes, batch_rows_first=100, batch_rows_max=100,
        slice_blocks_min=4, revisit_pause_s=0.02, poll_s=0.05, **more,
    )  # fmt: skip
    return filling.lead


@every_walk
async def test_whatever_the_walk_every_row_is_filled_while_others_write(
    begin: Begin, app: OpenApp, walk: str, waves: int | str, lanes: int
) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lead = told(filling, walk, waves, lanes)
    row, writer, done = await started(filling), await app(), asyncio.Event()

    async def write() -> None:
        """Move rows to other blocks, take some away, bring new ones, and change what is filled."""
        n = 0
        while not done.is_set():
            n += 1
            await writer.execute("UPDATE t SET pad = repeat('y', 40 + %s %% 80) WHERE id %% 97 = %s", [n, n % 97])
            await writer.execute("UPDATE t SET s = s + 1 WHERE id %% 89 = %s", [n % 89])
            await writer.execute("DELETE FROM t WHERE id = %s", [n * 3])
            await writer.execute("INSERT INTO t (id, s) VALUES (%s, %s)", [10_000 + n, n])

    writing = asyncio.create_task(write())
    await fill.do(lead, filling.step, row)
    done.set()
    await writing
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0
    assert (await filling.verify()).mismatches == 0
    pieces = await slices.of_step(lead.control, lead.number, filling.step.id)
    assert all(piece.finished for piece in pieces)
    assert {piece.walk for piece in pieces} == {
        "blocks" if walk == "blocks" else "keyset"
    }  # auto: in the order of its key
    assert len(pieces) > 1 or lanes == 1


@every_walk
async def test_whatever_the_walk_poison_rows_are_named_by_their_key_and_all_others_filled(
    begin: Begin, app: OpenApp, walk: str, waves: int | str, lanes: int
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text, pad text DEFAULT repeat('x', 90))")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 1500) AS i")
    bad = (1, 2, 500, 501, 1500)
    await one.execute("UPDATE t SET s = 'x' || id WHERE id = ANY (%s)", [list(bad)])
    filling = await begin(TO_INT)
    lead = told(filling, walk, waves, lanes)
    with pytest.raises(Refused, match=r"5 rows of .* cannot be filled, all others are"):
        await fill.do(lead, filling.step, await started(filling))
    assert sorted(int(one.key[0]) for one in await filling.poison()) == list(bad)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS NULL") == len(bad)
    await one.execute("UPDATE t SET s = '7' WHERE s LIKE 'x%'")
    await fill._poison(lead, filling.step)
    assert await filling.poison() == []


@every_walk
async def test_whatever_the_walk_rows_that_are_locked_are_waited_for_at_the_end_and_nothing_is_held_up(
    begin: Begin, app: OpenApp, walk: str, waves: int | str, lanes: int
) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lead = told(filling, walk, waves, lanes)
    holder = await app(autocommit=False)
    await holder.execute("SELECT FROM t WHERE id IN (5, 1000, 1001, 1999) FOR UPDATE")
    filled = asyncio.create_task(fill.do(lead, filling.step, await started(filling)))
    while await value(one, "SELECT count(*) FROM t WHERE n IS NULL") > 4:
        assert not filled.done()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert not filled.done()
    await holder.commit()
    await filled
    assert await value(one, "SELECT count(*) FROM t WHERE n IS NULL") == 0


@pytest.mark.parametrize("walk", ["keyset", "blocks"])
@pytest.mark.parametrize(("waves", "is_hot"), [(1, False), (12, True), ("auto", True)])
async def test_most_updates_in_waves_are_hot_and_the_table_hardly_grows(
    begin: Begin, app: OpenApp, walk: str, waves: int | str, is_hot: bool
) -> None:
    one = await wide(app, 12_000)
    before = await value(one, "SELECT pg_total_relation_size('t')")
    filling = await begin(BIGINT)
    lead = told(filling, walk, waves, 1)
    lead.executor.settings = replace(lead.settings, slice_blocks_min=1_000, batch_rows_first=500, batch_rows_max=500)
    await fill.do(lead, filling.step, await started(filling))
    (sums,) = await slices.progress(lead.control, [lead.number])
    assert sums.rows_filled == sums.rows_waved == 12_000
    grown = await value(one, "SELECT pg_total_relation_size('t')") / before
    assert (sums.rows_hot > 0.7 * sums.rows_waved) is is_hot
    assert (grown < 1.35) is is_hot


@pytest.mark.parametrize(("order", "has_waves"), [("i", True), ("-i", True), ("md5(i::text)", False)])
async def test_a_window_of_keys_has_waves_only_where_its_rows_lie_together(
    begin: Begin, app: OpenApp, order: str, has_waves: bool
) -> None:
    """Its waves read the blocks between its edges: all of the table, where the heap does not follow the key at all."""
    one = await app()
    await one.execute(WIDE)
    await one.execute(f"INSERT INTO t SELECT i, i, i FROM generate_series(1, 12000) AS i ORDER BY {order}".encode())
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=50, walk="keyset", waves=4)
    lane.waves.rested = 0
    cutter = Windows(lane.session, lane.walk, lane.slice, 60.0)
    cuts = [await cutter.cut([str(key)], 80, 4, Shares.equal(4)) for key in range(1000, 10000, 1500)]
    for windows in cuts:
        assert (len(windows) == 4) is has_waves
    await filling.walk(lane)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


@pytest.mark.parametrize("walk", ["keyset", "blocks"])
async def test_behind_the_shares_that_make_room_no_row_has_to_move(begin: Begin, app: OpenApp, walk: str) -> None:
    """What the model says of a block is true of real ones: so no round asks for more room."""
    one = await wide(app, 12_000)
    for column in ("pad", "id, x"):
        await one.execute(f"CREATE INDEX ON t ({column})".encode())
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=100 if walk == "keyset" else 10, walk=walk, waves="auto")
    lane.waves.rested = 0
    shares = lane.waves.shares
    assert len(shares) > shares.moving > 0
    await filling.walk(lane)
    assert lane.tally.hot > 0.8 * lane.tally.counted
    assert (lane.waves.more, lane.waves.rest_next) == (0, REST_FIRST)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_a_held_horizon_makes_waves_rest_and_the_fill_goes_on_without(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, 12_000)
    filling = await begin(BIGINT)
    holder = await app(autocommit=False)
    await holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    await holder.execute("SELECT count(*) FROM t")
    lane = await filling.lane(rows=2, walk="blocks", waves=8)
    rested = 0
    while not (await lane.batch())[0]:
        rested += lane.waves.rested > 0
    assert rested > 3
    assert await value(one, "SELECT count(*) FROM t WHERE n IS NULL") == 0
    assert lane.tally.hot < 0.3 * lane.tally.counted


@pytest.mark.parametrize("how", ["VACUUM FULL t", "CLUSTER t USING t_pkey", "ALTER TABLE t SET TABLESPACE pg_default"])
async def test_a_walk_by_blocks_begins_anew_when_the_table_is_rewritten(begin: Begin, app: OpenApp, how: str) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=3, walk="blocks")
    await lane.batch()
    assert lane.cursor is not None
    assert block_of(lane.cursor) == 3
    file = await value(one, "SELECT pg_relation_filenode('t')")
    await one.execute("DELETE FROM t WHERE id < 500")  # what is left lies elsewhere then
    await one.execute(how.encode())
    if await value(one, "SELECT pg_relation_filenode('t')") == file:
        assert await lane.batch() == (False, 0) or lane.cursor  # the very file: positions mean what they meant
        return
    with pytest.raises(Rewritten):
        await lane.batch()
    with pytest.raises(Rewritten):
        await lane.revisit(["(0,0)"], ["(3,0)"], 0)
    lead = told(filling, "blocks", 4, 1)
    await fill.do(lead, filling.step, await started(filling))
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_a_pause_stops_between_two_waves(begin: Begin, app: OpenApp) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=2, walk="blocks", waves=4)
    for _ in range(4):
        await lane.batch()
    await lane.settle()
    assert lane._round.is_ahead
    before = await value(one, "SELECT count(n) FROM t")
    await lane.lead.ask(pauses.pause(lane.lead.control, "*", who="sre", reason="look"))
    waiting = asyncio.create_task(lane.batch())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert await value(one, "SELECT count(n) FROM t") == before
    await lane.lead.ask(pauses.resume(lane.lead.control, "*", who="sre"))
    await waiting


async def test_a_piece_of_a_wave_that_takes_too_long_is_cut_smaller_and_nothing_is_skipped(
    begin: Begin, app: OpenApp
) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=20, walk="blocks", waves=4)
    lane.waves.rested = 0
    await lane.batch()
    assert lane.lengths.pieces is not None
    blocks = lane.lengths.pieces.staying.rows
    assert blocks > 4
    while lane._round._due[0][0] < lane.waves.now.moving:
        await lane.batch()
    await lane.settle()
    holder = await app(autocommit=False)
    await holder.execute("SELECT FROM t FOR UPDATE")
    await lane.conn.execute("SET statement_timeout = '50ms'; SET lock_timeout = '5s'")
    due = lane._round._due[0], lane._round._at
    assert await lane.batch() == (False, 0)
    assert lane.lengths.pieces.staying.rows < blocks
    assert (lane._round._due[0], lane._round._at or due[0][1].first_block) == (due[0], due[1] or due[0][1].first_block)
    await holder.rollback()
    await filling.walk(lane)
    assert lane.tally.skipped == 0
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_an_end_that_takes_too_long_is_tried_again_with_less_and_the_round_goes_on(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await wide(app)
    lane, pieces = await behind_its_waves(filling := await begin(BIGINT), 2, "blocks")
    windows, units = list(lane._round.windows), lane.lengths.end(lane._round.windows[0])
    pieces.staying.rows = 2
    with monkeypatch.context() as patch:
        patch.setattr(lane.session, "fetch", cancelled)
        assert await lane.batch() == (False, 0)
    assert list(lane._round.windows) == windows
    assert lane.lengths.end(windows[0]) < units
    await filling.walk(lane)
    assert lane.tally.skipped == 0
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_many_rows_live_shortly_and_what_is_alone_or_only_read_as_long_as_may_be(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=50, walk="keyset", waves=4)
    lane.size.target_ms = 100.0
    cut, lives = Windows.cut, []

    async def life() -> str:
        await lane.settle()
        row = await (await lane.conn.execute("SHOW statement_timeout")).fetchone()
        assert row is not None
        return str(row[0])

    async def watched(self: Windows, *args: Any) -> Any:
        lives.append(await life())
        return await cut(self, *args)

    monkeypatch.setattr(Windows, "cut", watched)
    lane.waves.rested = 1
    await lane.batch()
    lives.append(await life())  # of a plain batch
    await lane.batch()
    lives.append(await life())  # of a piece of some blocks
    assert lane.lengths.pieces is not None
    lane.lengths.pieces.moving.rows = 1
    await lane.batch()
    lives.append(await life())  # of a single one
    assert lives == ["200ms", "500ms", "200ms", "500ms"]


async def test_windows_that_are_not_found_in_time_are_shorter_next_time(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await wide(app)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=50, walk="keyset", waves=4)
    lane.waves.rested, lane.lengths.reach = 0, 16
    with monkeypatch.context() as patch:
        patch.setattr(Windows, "cut", cancelled)
        assert await lane.batch() == (False, 50)  # a plain one meanwhile
    assert lane.lengths.reach == 4
    await filling.walk(lane)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def cancelled(*_: Any, **__: Any) -> Any:
    raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")


@pytest.mark.parametrize(("walk", "rows"), [("keyset", 50), ("blocks", 2)])
async def test_a_window_that_takes_long_to_read_is_ended_in_parts(
    begin: Begin, app: OpenApp, walk: str, rows: int
) -> None:
    one = await wide(app)
    lane, pieces = await behind_its_waves(filling := await begin(BIGINT), rows, walk)
    window = lane._round.windows[0]
    pieces.staying.rows = 1
    assert (await lane.batch())[0] is False
    assert lane._round.windows[0] == window
    assert lane.cursor not in (window.lo, window.hi)
    await filling.walk(lane)
    assert lane.tally.skipped == 0
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def one_wave(lane: Lane, params: list[Any]) -> tuple[Any, ...] | None:
    """Do a wave with these parameters, its rests among them, and return what it answers."""
    await lane.session._pipeline.send(params)
    return await lane.session.answer()


async def test_what_a_wave_answers_is_what_it_did(begin: Begin, app: OpenApp) -> None:
    """Rows by the server's own count, milliseconds, WAL, and how many of the updates were HOT: none where there is no room."""
    one = await wide(app, 500)
    lane = await (await begin(BIGINT)).lane(rows=100, walk="blocks", waves=4)
    before = 0
    for number in range(2):
        row = await one_wave(lane, [None, lane.slice.hi, number, *lane._fence, 4, number + 1, 0])
        assert row is not None
        lane.seq += 1
        filled, ms, wal_bytes, hot = row
        assert filled == await value(one, "SELECT count(n) FROM t") - before > 100
        before += filled
        assert 0 < float(ms) < 1_000
        assert 100 * filled < wal_bytes < 1_000 * filled
        assert (hot > 0.8 * filled) is (number > 0)


async def test_a_program_whose_waves_cannot_be_asked_is_filled_without_them(begin: Begin, app: OpenApp) -> None:
    """As an earlier version has compiled it: what its wave says nobody hears, so nobody may send it."""
    one = await wide(app, 500)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=2, walk="blocks", waves=4)
    lane.waves.rested = 0
    lane.walk = lane.walk.model_copy(update={"wave": lane.walk.wave.replace(MOVED, "osc.other")})
    seq = lane.seq
    assert (await lane.batch())[1] > 0
    assert (lane.seq, lane._round.is_ahead, len(lane._sent)) == (seq + 1, False, 0)
    await filling.walk(lane)
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_waves_take_an_even_share_of_each_block_and_all_of_it(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, 500)
    filling = await begin(BIGINT)
    lane = await filling.lane(rows=100, walk="blocks", waves=4)
    shares = []
    for number in range(4):
        params = [None, lane.slice.hi, number, lane.slice.slice, lane.slice.epoch, lane.seq, 4, number + 1, 0]
        row = await one_wave(lane, params)
        assert row is not None
        lane.seq += 1
        shares.append(row[0])
    assert sum(shares) == 500
    assert max(shares) - min(shares) <= 10
    assert await value(one, "SELECT count(*) FROM t WHERE n IS NULL") == 0


async def test_a_wave_of_a_fenced_lane_writes_nothing(begin: Begin, app: OpenApp) -> None:
    one = await wide(app, 500)
    filling = await begin(BIGINT)
    old = await filling.lane(rows=100, walk="blocks", waves=4)
    new = await filling.lane(rows=100, walk="blocks", waves=4)
    params = [None, old.slice.hi, 0, old.slice.slice, old.slice.epoch, old.seq, 4, 1, 0]
    assert await one_wave(old, params) is None
    assert await value(one, "SELECT count(n) FROM t") == 0
    current = [*params[:4], new.slice.epoch, new.seq, *params[6:]]
    assert (await one_wave(new, current) or (0,))[0] > 0
    assert await one_wave(new, current) is None  # it is not what the one before it has left that is read


async def test_of_two_processes_each_slice_is_walked_by_one(begin: Begin, app: OpenApp) -> None:
    """Who comes second gets the next slice; a slice whose owner was not seen for long goes to others."""
    one = await wide(app)
    filling = await begin(BIGINT)
    lead = told(filling, "blocks", 1, 2)
    await crew_for(lead, filling.step, await started(filling))
    pieces = [piece.slice for piece in await slices.of_step(lead.control, lead.number, filling.step.id)]
    assert len(pieces) > 2
    us, them = uuid4(), uuid4()
    for owner in (us, them):
        await lease.register_executor(lead.control, owner, host="h", pid=1, kind="worker")

    async def claim(owner: UUID, *mine: int) -> int | None:
        got = await slices.claim_next(lead.control, lead.number, filling.step.id, owner, mine=mine, silent_s=30)
        return got and got.slice

    assert await claim(us) == pieces[0]
    assert await claim(them) == pieces[1]
    assert await claim(us, pieces[0]) == pieces[2]
    await one.execute("UPDATE osc.executor SET seen_at = now() - interval '1 minute' WHERE owner = %s", [them])
    assert await claim(us, pieces[0], pieces[2]) == pieces[1]


KEYLESS = "CREATE TABLE t (k int, s int, pad text DEFAULT repeat('x', 90))"
BY_BLOCKS = "backfill: {walk: blocks}"


async def test_a_table_without_a_key_is_walked_and_verified_by_blocks(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute(KEYLESS)
    await one.execute("INSERT INTO t SELECT i % 10, i FROM generate_series(1, 2000) AS i")
    filling = await begin(BIGINT, BY_BLOCKS)
    lead = told(filling, "keyset", 4, 2)  # what cannot be is not done
    holder = await app(autocommit=False)
    await holder.execute("UPDATE t SET k = 11 WHERE s IN (7, 1500)")
    filled = asyncio.create_task(fill.do(lead, filling.step, await started(filling)))
    while await value(one, "SELECT count(*) FROM t WHERE n IS NULL") > 2:
        assert not filled.done()
        await asyncio.sleep(0.02)
    await holder.rollback()
    await filled
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0
    lead.executor.settings = replace(lead.settings, verify_rows=300)
    verdict = await filling.verify()
    assert (verdict.rows, verdict.mismatches) == (2000, 0)


async def test_rows_of_a_table_without_a_key_that_verification_finds_unfilled_are_sent_back(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute(KEYLESS)
    await one.execute("INSERT INTO t SELECT i % 10, i FROM generate_series(1, 2000) AS i")
    filling = await begin(BIGINT, BY_BLOCKS)
    lead = told(filling, "blocks", 1, 1, verify_rows=300)
    await fill.do(lead, filling.step, await started(filling))
    async with one.transaction():
        await one.execute("SET LOCAL osc.writer = 'backfill'")
        await one.execute("UPDATE t SET n = NULL WHERE s IN (1, 1000, 2000)")
    verdict = await filling.verify()
    assert (verdict.mismatches, len(verdict.sample)) == (3, 3)
    assert await verify._send_back(lead, filling.verify_step, verdict)
    assert (await filling.verify()).mismatches == 0


async def test_a_table_without_a_key_that_is_rewritten_behind_its_fill_is_sent_back_to_where_it_lies_now(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute(KEYLESS)
    await one.execute("INSERT INTO t SELECT i % 10, i FROM generate_series(1, 500) AS i")
    filling = await begin(BIGINT, BY_BLOCKS)
    lead = told(filling, "blocks", 1, 1)
    row = await started(filling)
    await fill.do(lead, filling.step, row)
    async with one.transaction():
        await one.execute("SET LOCAL osc.writer = 'backfill'")
        await one.execute("UPDATE t SET n = NULL WHERE s IN (1, 250)")
    await one.execute("VACUUM FULL t")
    row = next(
        one for one in await lead.ask(journal.steps(lead.control, lead.number)) if one.step == filling.verify_step.id
    )
    await verify.do(
        lead, filling.verify_step, await lead.ask(journal.start(lead.control, lead.number, row.ordinal, lead.epoch))
    )
    assert await value(one, "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s") == 0


async def test_rows_of_a_table_without_a_key_that_cannot_be_filled_are_named_by_their_place(
    begin: Begin, app: OpenApp
) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (s text)")
    await one.execute("INSERT INTO t SELECT i::text FROM generate_series(1, 1000) AS i")
    await one.execute("UPDATE t SET s = 'x' WHERE s IN ('3', '700')")
    filling = await begin(TO_INT, BY_BLOCKS)
    lead = told(filling, "blocks", 1, 1)
    with pytest.raises(Refused, match=r"2 rows of .* cannot be filled"):
        await fill.do(lead, filling.step, await started(filling))
    places = [one.key[0] for one in await filling.poison()]
    assert await value(one, f"SELECT count(*) FROM t WHERE n IS NULL AND ctid IN ('{places[0]}', '{places[1]}')") == 2
    await one.execute("UPDATE t SET s = '7' WHERE s = 'x'")
    await fill._poison(lead, filling.step)
    assert (await filling.verify()).mismatches == 0


async def test_without_a_word_for_blocks_a_table_without_a_key_is_refused(begin: Begin, app: OpenApp) -> None:
    await (await app()).execute(KEYLESS)
    with pytest.raises(Refused) as refused:
        await begin(BIGINT)
    (finding,) = refused.value.findings
    assert (finding.code, "walk: blocks" in finding.hint) == ("C120", True)


async def test_what_is_kept_for_the_way_back_needs_a_key_whatever_the_walk(begin: Begin, app: OpenApp) -> None:
    await (await app()).execute(KEYLESS)
    with pytest.raises(Refused) as refused:
        await begin("- set_not_null: {table: t, column: s, fill: '0'}", BY_BLOCKS)
    assert [finding.code for finding in refused.value.findings] == ["C120", "V153"]
