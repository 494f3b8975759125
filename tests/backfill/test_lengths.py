"""How long windows, pieces and ends are: as long as may be, and shorter at once when they take too long."""

from __future__ import annotations

import pytest

from osc.executor.backfill.lengths import BLOCKS_MAX, ENDED_AT_ONCE, GROWTH, PIECE_SHARE, Lengths, Sizes
from osc.executor.backfill.waves import Shares
from osc.executor.backfill.windows import Window
from osc.settings import DEFAULTS
from osc.sql.pages import position

both = pytest.mark.parametrize("by_blocks", [False, True])


def begun(*, by_blocks: bool) -> Lengths:
    return Lengths.first(DEFAULTS, 100.0, by_blocks=by_blocks, rows_per_block=50.0)


def window(lengths: Lengths, blocks: int) -> Window:
    units = blocks if lengths.by_blocks else blocks * 50
    return Window(position(0), position(blocks), units, Shares.equal(10), (position(0), position(blocks)))


@both
def test_windows_begin_short_and_grow_with_each_round_up_to_what_stays_in_memory(by_blocks: bool) -> None:
    lengths = begun(by_blocks=by_blocks)
    assert lengths.window(20) * lengths.rows_per_unit == GROWTH * 20 * DEFAULTS.batch_rows_first
    lengths.grow(20)
    assert lengths.window(20) * lengths.rows_per_unit == GROWTH**2 * 20 * DEFAULTS.batch_rows_first
    for _ in range(20):
        lengths.grow(20)
    assert lengths.window(20) * lengths.rows_per_unit == BLOCKS_MAX * 50
    for _ in range(2):  # as often as it takes to be felt, however many rounds were done
        lengths.shrink()
    assert lengths.window(20) * lengths.rows_per_unit < BLOCKS_MAX * 50


def test_a_window_is_no_longer_than_batches_may_be() -> None:
    lengths = begun(by_blocks=False)
    lengths.size.rows_max, lengths.reach = 600, 1_000
    assert lengths.window(3) == 1_800


@both
def test_pieces_begin_as_long_as_plain_batches_are_times_the_shares_and_follow_the_target(by_blocks: bool) -> None:
    lengths = begun(by_blocks=by_blocks)
    assert lengths.rows_at_once(10) == DEFAULTS.batch_rows_first  # a plain batch
    pieces = lengths.aimed(window(lengths, 300))
    assert pieces.moving.rows == pieces.staying.rows == 10 * DEFAULTS.batch_rows_first / 50
    assert pieces.moving.target_ms == pieces.staying.target_ms == PIECE_SHARE * 100
    lengths.size.target_ms = 20.0
    assert lengths.aimed(window(lengths, 7)) is pieces
    assert pieces.moving.target_ms == pieces.staying.target_ms == PIECE_SHARE * 20
    assert lengths.rows_at_once(10) == DEFAULTS.batch_rows_first
    assert lengths.rows_at_once(1) == DEFAULTS.batch_rows_first


@both
@pytest.mark.parametrize(("row_ms", "blocks"), [(0.001, 300), (0.1, 60), (0.5, 12)])
def test_pieces_begin_no_longer_than_what_plain_batches_took_allows(
    by_blocks: bool, row_ms: float, blocks: int
) -> None:
    lengths = begun(by_blocks=by_blocks)
    lengths.size.took(rows=lengths.size.rows, ms=row_ms * lengths.size.rows * lengths.rows_per_unit)
    assert lengths.aimed(window(lengths, 300)).moving.rows == blocks


@both
def test_an_end_that_took_too_long_is_shorter_the_next_time_down_to_a_single_unit(by_blocks: bool) -> None:
    lengths = begun(by_blocks=by_blocks)
    one = window(lengths, 200)
    assert lengths.end(one) == one.units  # before the first round
    lengths.aimed(one)
    lengths.pieces = Sizes.first(4_096, 100)
    assert lengths.end(one) == one.units
    seen = [lengths.end(one)]
    while lengths.shorten_end(one):
        seen.append(lengths.end(one))
    assert seen == sorted(set(seen), reverse=True)
    assert seen[1] < one.units
    assert seen[-1] * lengths.rows_per_unit <= ENDED_AT_ONCE * 50


def test_of_a_window_without_waves_only_its_size_says_how_long_it_is() -> None:
    lengths = begun(by_blocks=False)
    lengths.aimed(window(lengths, 10))
    one, rows = Window(None, None, 700), lengths.size.rows
    assert lengths.end(one) == 700
    assert not lengths.shorten_end(one)
    assert lengths.size.rows == rows
