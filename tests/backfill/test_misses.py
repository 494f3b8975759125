"""How a lane goes on behind batches that could not be done, and what it counts."""

from __future__ import annotations

from osc.executor.backfill.misses import ROW_TRIES_MAX, SMALL_AFTER_POISON, Misses
from osc.executor.backfill.tally import Tally
from osc.settings import Settings

FEW = Settings(skip_windows_first=4, skip_windows_max=16)


def skipped(misses: Misses) -> int:
    """Return how many windows skip before a plain one is tried."""
    windows = 0
    while misses.skip:
        assert misses.batch_done(skipping=True)
        windows += 1
    return windows


def test_each_miss_in_between_doubles_the_windows_that_skip_up_to_a_limit() -> None:
    misses = Misses(FEW)
    seen = []
    for _ in range(4):
        misses.skip_more()
        seen.append(skipped(misses))
    assert seen == [4, 8, 16, 16]


def test_plain_batches_that_are_done_take_it_back_step_by_step() -> None:
    misses = Misses(FEW)
    for _ in range(3):
        misses.skip_more()
    skipped(misses)
    seen = []
    for _ in range(4):
        assert misses.batch_done(skipping=False)
        seen.append(misses.skip_next)
    assert seen == [8, 4, 4, 4]


def test_batches_near_a_row_that_raises_stay_small_and_teach_nothing() -> None:
    misses = Misses(FEW)
    misses.stay_small()
    assert not misses.is_plain
    assert [misses.batch_done(skipping=False) for _ in range(SMALL_AFTER_POISON + 1)] == [False] * 4 + [True]
    assert misses.is_plain


def test_a_row_alone_may_be_too_slow_a_few_times_until_the_lane_moves() -> None:
    misses = Misses(FEW)
    assert not any(misses.was_alone() for _ in range(ROW_TRIES_MAX - 1))
    misses.moved()
    assert [misses.was_alone() for _ in range(ROW_TRIES_MAX)] == [False] * (ROW_TRIES_MAX - 1) + [True]


def test_a_tally_tells_what_is_new_once_and_no_more_hot_updates_than_rows() -> None:
    tally = Tally()
    tally.filled += 10
    tally.count_hot(10, 25)  # those of a trigger's own table among them
    assert tally.news() == (10, 10, 10)
    tally.filled += 1
    assert tally.news() == (1, 0, 0)
    assert tally.news() == (0, 0, 0)
