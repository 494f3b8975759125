"""How many waves: what the heap suggests, and what the waves achieve."""

from __future__ import annotations

from dataclasses import replace

import pytest

from osc.executor.backfill.waves import (
    FIRST_BATCHES,
    REST_FIRST,
    REST_MAX,
    ROWS_TO_JUDGE,
    WAVES_MAX,
    Heap,
    Waves,
    count,
)

HEAP = Heap(blocks=10_000, rows_per_block=60, free_share=0.0, indexes=5)


def test_a_full_heap_with_some_indexes_is_worth_many_waves_and_one_with_more_indexes_more() -> None:
    assert 8 <= count(HEAP) <= WAVES_MAX
    counts = [count(replace(HEAP, indexes=n)) for n in range(12)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] <= WAVES_MAX


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"is_indexed": True}, 1),  # never HOT
        ({"rows_per_block": 1}, 1),
        ({"rows_per_block": 3}, 3),  # a block has no more waves than rows
        ({"rows_per_block": 230}, 1),  # so narrow that row identifiers run out before the room does
        ({"free_share": 0.25}, 5),  # a fifth of the rows fits into what is free
        ({"free_share": 0.7}, 2),
    ],
)
def test_what_the_heap_is_like_bounds_the_count(changes: dict[str, object], most: int) -> None:
    assert count(replace(HEAP, **changes)) == most  # type: ignore[arg-type]


def test_waves_that_achieve_nothing_rest_ever_longer_and_come_back() -> None:
    waves, rests = Waves(8), []
    for _ in range(8):
        assert waves.round_begins() == 8
        waves.took(ROWS_TO_JUDGE, 0)
        rest = 0
        while waves.round_begins() == 1:
            rest += 1
        rests.append(rest)
        waves._rows = waves._hot = 0
    assert rests == [min(REST_FIRST * 2**n, REST_MAX) for n in range(8)]


def test_one_wave_without_room_among_others_proves_nothing() -> None:
    waves = Waves(8)
    assert waves.round_begins() == 8
    for hot in (1.0, 0.1, 0.9, 0.2, 1.0):
        waves.took(ROWS_TO_JUDGE, round(ROWS_TO_JUDGE * hot))
    assert waves.round_begins() == 8
    assert waves.rest_next == REST_FIRST


def test_few_rows_prove_nothing_either() -> None:
    waves = Waves(8)
    waves.took(ROWS_TO_JUDGE - 1, 0)
    assert waves.round_begins() == 8


def test_the_first_batches_of_a_lane_go_without() -> None:
    waves = Waves(8, rested=FIRST_BATCHES)
    assert [waves.round_begins() for _ in range(FIRST_BATCHES + 1)] == [1] * FIRST_BATCHES + [8]
