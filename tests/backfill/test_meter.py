"""Progress of a fill is read from its slices, now and then, and never says more than all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.executor.backfill.meter import EVERY_S, Meter

if TYPE_CHECKING:
    from osc.executor.reports import Report
    from tests.backfill.conftest import Begin, Filling, OpenApp

pytestmark = pytest.mark.anyio


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def metered(begin: Begin, app: OpenApp, upper: str) -> tuple[Filling, Meter, Any, list[Report]]:
    """Begin the fill of 60 rows, 10 of them walked, for which a meter was made."""
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, 'a' FROM generate_series(1, 60) AS i")
    filling = await begin(upper)
    reports: list[Report] = []
    filling.lead.executor.listener = reports.append
    clock: Any = Hands()
    filling.lead.executor.clock = clock
    meter = Meter(filling.lead, filling.step)
    await (await filling.lane(rows=10)).batch()
    return filling, meter, clock, reports


async def test_rows_are_counted_that_no_lane_of_this_process_was_told_of(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    filling, meter, clock, reports = await metered(begin, app, upper)
    clock.now_s += EVERY_S
    await meter.tell()
    assert [(one.done, meter.seen) for one in reports] == [(10, 0)]
    await filling.walk(await filling.lane(rows=10))
    clock.now_s += EVERY_S
    await meter.tell()
    assert [one.done for one in reports] == [10, 60]
    assert reports[-1].rate == 50 / EVERY_S


async def test_an_estimate_that_is_too_low_does_not_make_it_more_than_all(
    begin: Begin, app: OpenApp, upper: str
) -> None:
    _filling, meter, clock, reports = await metered(begin, app, upper)
    meter._rows_estimate = 7
    clock.now_s += EVERY_S
    await meter.tell()
    assert [(one.done, one.total) for one in reports] == [(10, 10)]


async def test_it_is_not_asked_more_often_than_it_is_told(begin: Begin, app: OpenApp, upper: str) -> None:
    filling, meter, clock, reports = await metered(begin, app, upper)
    await meter.tell()
    assert reports == []
    clock.now_s += EVERY_S
    await meter.tell()
    await filling.walk(await filling.lane(rows=10))
    await meter.tell()
    assert [one.done for one in reports] == [10]


async def test_while_nobody_walks_nothing_is_told_again(begin: Begin, app: OpenApp, upper: str) -> None:
    _filling, meter, clock, reports = await metered(begin, app, upper)
    for _ in range(3):
        clock.now_s += EVERY_S
        await meter.tell()
    assert [one.done for one in reports] == [10]
