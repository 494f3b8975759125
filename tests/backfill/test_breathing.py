"""Beside others, or to be slower, the statements of a fill rest in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.executor.backfill.crew import crew_for
from osc.executor.backfill.pace import Pace
from osc.state import settings as knobs
from tests.backfill.test_in_flight import with_pieces
from tests.backfill.test_walks import BIGINT, started, value, wide

if TYPE_CHECKING:
    from tests.backfill.conftest import Begin, OpenApp

pytestmark = pytest.mark.anyio


async def test_a_plan_and_a_live_setting_both_say_how_fast(begin: Begin, app: OpenApp) -> None:
    await wide(app, 10)
    lead = (await begin(BIGINT)).lead
    pace = await Pace(lead).read()
    assert (pace.speed, pace.is_said) == (1.0, False)
    await lead.ask(knobs.set_knob(lead.control, f"change:{lead.change.id}", "speed", "1.0", who="sre", ttl_s=None))
    await pace.read()
    assert (pace.speed, pace.is_said) == (1.0, True)


async def test_a_wave_rests_at_every_so_many_blocks_and_not_at_all_if_that_is_none(begin: Begin, app: OpenApp) -> None:
    one = await wide(app)
    lane = await (await begin(BIGINT)).lane(rows=100, walk="blocks", waves=4)
    blocks = int(await value(one, "SELECT pg_relation_size('t') / 8192"))

    def params(number: int, every: int) -> list[Any]:
        return [None, lane.slice.hi, number, lane.slice.slice, lane.slice.epoch, lane.seq, 4, number + 1, every]

    for number, every in ((0, 1), (1, 4)):
        row = await lane._fetch(lane.walk.wave, params(number, every))
        assert row is not None
        assert float(row[1]) >= blocks // every  # a millisecond each, once a block
        lane.seq += 1
    text = lane.walk.wave
    for number, value_of in enumerate(("NULL", "NULL", "0", "1", "1", "1", "4", "1"), start=1):
        text = text.replace(f"${number}", value_of)
    for every, rests in ((0, False), (8, True)):
        plan = await (await one.execute(f"EXPLAIN (VERBOSE) {text.replace('$9', str(every))}".encode())).fetchall()
        assert ("pg_sleep" in str(plan)) is rests


async def test_beside_others_a_lane_rests_while_it_is_in_its_pieces(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app)
    filling = await begin(BIGINT)
    lane = await with_pieces(filling)
    sent: list[int] = []
    send = lane._pipeline.send

    async def watched(params: Any) -> None:
        sent.append(params[8])
        await send(params)

    monkeypatch.setattr(lane._pipeline, "send", watched)
    crew = await crew_for(filling.lead, filling.step, await started(filling))
    for others in (False, True):
        crew.pace.others_at_work = others
        looks = iter((True, False))
        monkeypatch.setattr(crew, "_is_wanted", lambda _, looks=looks: next(looks))
        assert await crew._to_the_end(0, lane) is False
    assert sent[0] == 0
    assert sent[-1] > 0


async def test_a_lane_that_breathes_rests_only_for_what_is_missing_to_its_speed(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wide(app)
    lane = await (await begin(BIGINT)).lane(rows=100, walk="blocks", waves=4)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(lane.lead.clock, "sleep", sleep)
    for speed, worked in ((1.0, 1.0), (1.0, 0.5), (0.5, 0.5), (0.25, 1.0), (0.25, 0.5)):
        lane.speed = speed
        await lane._rest(100, worked)
    assert slept == [pytest.approx(0.3), pytest.approx(0.1)]
