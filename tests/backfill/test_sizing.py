"""How many rows a batch takes: toward its target of time, never by leaps upward, and back from a single row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.executor.backfill.sizing import BatchSize


def size(rows: int, *, rows_min: int = 1, rows_max: int = 20_000) -> BatchSize:
    return BatchSize(100, rows, rows_min, rows_max)


@pytest.mark.parametrize(
    ("rows", "took_ms", "expected"),
    [
        (100, 100, 100),
        (100, 50, 125),
        (100, 1, 125),
        (100, 125, 80),
        (100, 300, 50),
        (100, 401, 25),
        (1, 1, 2),
        (2, 1, 3),
        (1, 999, 1),
    ],
)
def test_the_next_batch_is_sized_by_the_time_of_the_last(rows: int, took_ms: float, expected: int) -> None:
    one = size(rows)
    one.took(rows=rows, ms=took_ms)
    assert one.rows == expected


def test_a_short_page_teaches_nothing() -> None:
    one = size(100)
    one.took(rows=99, ms=1)
    assert one.rows == 100


def test_after_a_poison_row_a_lane_is_back_at_its_size_within_some_thirty_batches() -> None:
    one = size(1)
    for _ in range(30):
        one.took(rows=one.rows, ms=one.rows * 0.1)  # a tenth of a millisecond a row: a thousand rows are right
    assert 900 <= one.rows <= 1100


@given(st.floats(0.001, 500), st.integers(1, 20_000))
def test_from_anywhere_it_finds_the_size_that_takes_the_target_time(ms_a_row: float, start: int) -> None:
    one = size(start)
    for _ in range(80):
        one.took(rows=one.rows, ms=one.rows * ms_a_row)
    right = min(20_000, max(1, 100 / ms_a_row))
    assert right * 0.7 - 1 <= one.rows <= right * 1.3 + 1
