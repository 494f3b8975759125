"""In which shares: what the heap suggests, and what the waves achieve."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.executor.backfill.waves import (
    BLOCK_BYTES,
    FIRST_BATCHES,
    LINE_POINTERS_MAX,
    POINTER_BYTES,
    REST_FIRST,
    REST_MAX,
    ROWS_TO_JUDGE,
    WAVES_MAX,
    WHOLE,
    Heap,
    Shares,
    Waves,
    shares,
)

HEAP = Heap(blocks=10_000, rows_per_block=65, free_share=0.0132, indexes=5)
EIGHT = Shares.equal(8)


def test_shares_make_the_room_that_is_needed_and_then_use_all_of_it() -> None:
    """By measurement the best of many: seven of 65 rows are moved, in two waves, and none behind them."""
    cut = shares(HEAP)
    assert (cut.of, cut.moving, sum(cut.sizes)) == (65, 2, 65)
    assert cut.sizes[:2] == (4, 7)  # four leave their block, and three of seven
    assert list(cut.sizes[2:]) == sorted(cut.sizes[2:], reverse=True)  # each filled row is longer, and its root stays
    assert len(cut) <= 20


def test_more_room_means_fewer_waves() -> None:
    counts = [len(shares(HEAP, more)) for more in range(8)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]


def test_the_fewer_indexes_there_are_the_more_rows_are_moved_and_the_fewer_waves_go() -> None:
    assert shares(replace(HEAP, indexes=1)) == Shares(65, (19, 18, 16, 12))  # 3 % faster than 16 and another wave
    counts = [len(shares(replace(HEAP, indexes=indexes))) for indexes in (1, 2, 3, 9)]
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({"is_indexed": True}, (1,)),  # never HOT
        ({"rows_per_block": 1}, (1,)),
        ({"rows_per_block": 4}, (1, 1, 1, 1)),  # a block has no more waves than rows
        ({"growth_bytes": 100.0}, (1,)),  # so long that most rows have to move
        ({"rows_per_block": 230}, (1,)),  # so narrow that row identifiers run out before the room does
        ({"rows_per_block": 49, "free_share": 0.25}, (15, 13, 12, 9)),  # nothing has to be moved
        ({"rows_per_block": 20, "free_share": 0.7}, (1,)),  # everything finds room at once
    ],
)
def test_what_the_heap_is_like_bounds_the_shares(changes: dict[str, object], sizes: tuple[int, ...]) -> None:
    assert shares(replace(HEAP, **changes)).sizes == sizes  # type: ignore[arg-type]


@given(
    rows=st.floats(1, 300), free=st.floats(0, 0.9), growth=st.integers(0, 40).map(lambda n: n * 8.0),
    indexes=st.integers(0, 12), more=st.integers(0, 20),
)  # fmt: skip
def test_shares_are_all_of_a_block_and_behind_the_first_each_finds_room(
    rows: float, free: float, growth: float, indexes: int, more: int
) -> None:
    heap = Heap(1_000, rows, free, indexes, growth_bytes=growth)
    cut = shares(heap, more)
    assert len(cut) <= WAVES_MAX
    if cut == WHOLE:
        return
    assert sum(cut.sizes) == cut.of == round(rows)
    assert min(cut.sizes) > 0
    places = [place for number in range(len(cut)) for place in range(*cut.places(number))]
    assert places == list(range(cut.of))
    old = BLOCK_BYTES * (1 - free) / cut.of - POINTER_BYTES
    new, room, pointers = old + growth + POINTER_BYTES, BLOCK_BYTES * free, LINE_POINTERS_MAX - cut.of
    for number, size in enumerate(cut.sizes):
        stay = min(size, int(room / new), pointers)
        assert number < cut.moving or stay == size
        room += size * old - stay * new
        pointers -= stay


def test_waves_that_achieve_nothing_rest_ever_longer_and_come_back() -> None:
    waves, rests = Waves(8), list[int]()
    for _ in range(8):
        assert waves.round_begins() == EIGHT
        waves.took(ROWS_TO_JUDGE, 0)
        rest = 0
        while waves.round_begins() == WHOLE:
            rest += 1
        rests.append(rest)
        waves._rows = waves._hot = 0
    assert rests == [min(REST_FIRST * 2**n, REST_MAX) for n in range(8)]


def test_one_wave_without_room_among_others_proves_nothing() -> None:
    waves = Waves(8)
    assert waves.round_begins() == EIGHT
    for hot in (1.0, 0.1, 0.9, 0.2, 1.0):
        waves.took(ROWS_TO_JUDGE, round(ROWS_TO_JUDGE * hot))
    assert waves.round_begins() == EIGHT
    assert waves.rest_next == REST_FIRST


def test_few_rows_prove_nothing_either() -> None:
    waves = Waves(8)
    waves.took(ROWS_TO_JUDGE - 1, 0)
    assert waves.round_begins() == EIGHT


def test_the_first_batches_of_a_lane_go_without() -> None:
    waves = Waves(8, rested=FIRST_BATCHES)
    assert [waves.round_begins() for _ in range(FIRST_BATCHES + 1)] == [WHOLE] * FIRST_BATCHES + [EIGHT]


def test_rows_that_move_late_make_the_next_round_begin_with_more_room() -> None:
    waves = Waves(None, HEAP)
    first = waves.round_begins()
    waves.took(ROWS_TO_JUDGE, ROWS_TO_JUDGE)
    assert waves.round_begins() == first
    waves.took(ROWS_TO_JUDGE, round(ROWS_TO_JUDGE * 0.98))
    assert waves.round_begins() == shares(HEAP, 1) != first
    waves.cut(None, HEAP)  # of the next slice
    assert waves.shares == shares(HEAP, 1)


def test_rows_that_no_wave_has_met_ask_for_no_more_room() -> None:
    waves = Waves(None, HEAP)
    waves.took(ROWS_TO_JUDGE, ROWS_TO_JUDGE)
    waves.took(ROWS_TO_JUDGE, 0, ends=True)
    assert waves.round_begins() == shares(HEAP)


def test_more_room_is_made_only_as_long_as_waves_pay() -> None:
    assert shares(HEAP, 5) != shares(HEAP)
    assert shares(HEAP, 30) == shares(HEAP)


def test_shares_that_were_asked_for_stay_as_they_are() -> None:
    waves = Waves(8)
    waves.took(ROWS_TO_JUDGE, round(ROWS_TO_JUDGE * 0.7))
    assert waves.round_begins() == EIGHT
