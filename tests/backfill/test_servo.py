"""How many rows a batch takes, on made-up servers: toward its target of time, never by leaps upward, panic downward."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.executor.backfill.servo import WAL_MAX_BYTES, Servo


def size(rows: int, *, rows_min: int = 1, rows_max: int = 20_000) -> Servo:
    return Servo(100, rows, rows_min, rows_max)


@pytest.mark.parametrize(
    ("rows", "took_ms", "expected"),
    [
        (100, 100, 100),
        (100, 50, 125),
        (100, 1, 125),
        (100, 119, 100),
        (100, 130, 77),
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
    assert 800 <= one.rows <= 1200


@given(st.floats(0.001, 500), st.integers(1, 20_000))
def test_from_anywhere_it_finds_the_size_that_takes_the_target_time(ms_a_row: float, start: int) -> None:
    one = size(start)
    for _ in range(80):
        one.took(rows=one.rows, ms=one.rows * ms_a_row)
    right = min(20_000, max(1, 100 / ms_a_row))
    assert right * 0.7 - 1 <= one.rows <= right * 1.3 + 1


@pytest.mark.parametrize(
    ("took_ms", "held", "expected"), [(50, False, 125), (50, True, 100), (300, True, 50), (401, True, 25)]
)
def test_a_fill_that_is_held_back_grows_no_batches_and_still_makes_them_smaller(
    took_ms: float, held: bool, expected: int
) -> None:
    one = size(100)
    one.took(rows=100, ms=took_ms, held=held)
    assert one.rows == expected


@dataclass
class MadeUp:
    """A server whose rows cost what it is told, and the servo that finds its way on it."""

    servo: Servo
    ms_a_row: float = 0.1
    wal_a_row: int = 100
    share: float = 1.0
    """Of the rows need work, and only those cost anything."""

    def batch(self, spike: float = 1.0) -> float:
        """Do one batch; return how long it took."""
        rows = self.servo.rows
        ms = rows * self.ms_a_row * max(self.share, 0.001) * spike
        self.servo.took(rows=rows, ms=ms, filled=round(rows * self.share), wal_bytes=rows * self.wal_a_row)
        return ms

    def settled(self) -> MadeUp:
        for _ in range(60):
            self.batch()
        return self


def test_one_slow_batch_among_quick_ones_changes_nothing() -> None:
    server = MadeUp(size(500)).settled()
    before = server.servo.rows
    server.batch(spike=3)
    server.batch()
    assert server.servo.rows == before


def test_a_server_that_gets_slow_for_good_is_followed_within_some_batches() -> None:
    server = MadeUp(size(500)).settled()
    server.ms_a_row *= 3
    took = [server.batch() for _ in range(10)]
    assert took[-1] <= 125


def test_after_a_panic_only_what_comes_counts() -> None:
    server = MadeUp(size(500)).settled()
    before = server.servo.rows
    server.batch(spike=4.1)
    assert server.servo.rows == round(before / 4)
    for _ in range(9):
        server.batch()
    assert server.servo.rows >= before * 0.8


def test_rows_that_need_no_work_are_no_reason_to_grow() -> None:
    """A stretch that is filled already goes quickly; the first row behind it does not."""
    server = MadeUp(size(500)).settled()
    before = server.servo.rows
    server.share = 0.1
    server.settled()
    server.share = 1.0
    assert server.servo.rows == before
    assert server.batch() <= 125


@given(st.integers(1, 1 << 20), st.integers(1, 20_000))
def test_no_batch_but_the_first_writes_more_wal_than_a_segment(wal_a_row: int, start: int) -> None:
    server = MadeUp(size(start), ms_a_row=0.001, wal_a_row=wal_a_row)
    for _ in range(80):
        server.batch()
    assert server.servo.rows * wal_a_row <= max(WAL_MAX_BYTES * 1.25, wal_a_row)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(1, 20_000))
def test_whatever_a_server_does_the_size_stays_within_its_bounds_and_grows_by_a_quarter_at_most(
    spikes: list[float], start: int
) -> None:
    server = MadeUp(size(start, rows_min=10, rows_max=5_000))
    for spike in spikes:
        before = server.servo.rows
        server.batch(spike)
        assert 10 <= server.servo.rows <= max(5_000, before)
        assert server.servo.rows <= max(math.ceil(before * 1.25), 10)
