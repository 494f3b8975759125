"""Others at work: seen within moments, and a monitor is not taken for them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import anyio
import psycopg
import pytest

from osc.executor.backfill.pace import BREATHING_SHARE, Pace
from osc.executor.throttle.at_work import AtWork
from osc.pg.session import Connection
from tests.throttle.test_signals import short_sighted

if TYPE_CHECKING:
    from osc.executor.lead import Lead

pytestmark = pytest.mark.anyio


async def looks(seen: AtWork, conn: Connection, number: int) -> None:
    for _ in range(number):
        (reading,) = await seen.read(conn, None, 0.0)
        assert reading.utilisation == 0.0


class Counting:
    """Says how many sessions were seen, one answer a look."""

    def __init__(self, answers: list[int]) -> None:
        self.answers = iter(answers)

    async def __call__(self, *_: Any) -> list[tuple[int, int]]:
        return [(next(self.answers), 0)]


@pytest.mark.parametrize(
    ("answers", "are"),
    [
        ([0] * 5, False),
        ([3], True),
        ([0] + [1] * 7, True),
        ([1] + [0] * 7, False),
        ([1, 0, 0, 0, 0] * 20, False),  # a monitor that asks once a second
        ([1, 1, 0, 1, 1, 0] * 20, True),
    ],
)
async def test_the_last_two_seconds_decide(answers: list[int], are: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osc.executor.throttle.at_work.query", Counting(answers))
    seen = AtWork()
    assert not seen.are
    await looks(seen, cast("Connection", None), len(answers))
    assert seen.are is are


async def test_who_runs_something_is_at_work_and_who_is_idle_is_not(dsn: str, observer: Connection) -> None:
    seen = AtWork()
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as app,
        closing(psycopg.connect(dsn, application_name="osc:x:fill")) as ours,
    ):
        app.execute("SELECT 1")
        ours.execute("SELECT 1")
        await looks(seen, observer, 1)
        assert seen.are
        await anyio.sleep(0.3)
        for _ in range(10):
            ours.execute("SELECT 1")
            await looks(seen, observer, 1)
        assert not seen.are
        app.pgconn.send_query(b"SELECT pg_sleep(2)")
        await anyio.sleep(0.3)
        await looks(seen, observer, 10)
        assert seen.are  # with one statement for long


async def test_who_may_not_be_seen_counts_as_at_work(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True):
        async with short_sighted(dsn) as observer:
            seen = AtWork()
            await looks(seen, observer, 1)
            assert seen.are


@pytest.mark.parametrize(
    ("others", "said", "speed", "breathes"),
    [
        (False, False, 1.0, False),
        (True, False, 1.0, True),
        (True, True, 1.0, False),  # the whole speed, whoever is at work
        (False, True, BREATHING_SHARE / 2, True),  # slow, and not in bursts
        (True, True, 0.9, False),
    ],
)
def test_statements_rest_beside_others_unless_somebody_said_how_fast(
    others: bool, said: bool, speed: float, breathes: bool
) -> None:
    pace = Pace(cast("Lead", None), speed=speed, is_said=said, others_at_work=others)
    assert pace.breathes is breathes
