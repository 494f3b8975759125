"""Pieces of a round: every share of every window once, none longer than it may be, in the order of waves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from osc.executor.backfill.lengths import Sizes
from osc.executor.backfill.rounds import Piece, Round
from osc.executor.backfill.waves import Shares
from osc.executor.backfill.windows import Window
from osc.sql.pages import block_of, position

SHARES = Shares(10, (1, 3, 4, 2), 2)


def window(begin: int, end: int) -> Window:
    return Window(position(begin), position(end), end - begin, SHARES, (position(begin), position(end)))


def pieces(made: Round, sizes: Sizes) -> list[Piece]:
    found = []
    while (piece := made.next(sizes)) is not None:
        found.append(piece)
        made.done(piece)
    return found


def test_one_share_goes_through_all_windows_before_the_next_one_does() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 100), window(100, 180)], sizes)
    found = pieces(made, sizes)
    assert [(one.number, one.window.first_block) for one in found] == [(n, at) for n in range(3) for at in (0, 100)]
    assert not made.is_ahead  # the last share is left to the statements that end the windows
    assert len(made.windows) == 2


def test_the_last_share_of_a_window_longer_than_a_piece_goes_ahead_as_well() -> None:
    made, sizes = Round(), Sizes.first(50, 30)
    made.begin([window(0, 100), window(100, 140)], sizes)
    found = [one for one in pieces(made, sizes) if one.number == 3]
    assert [(block_of(one.lo or []), one.blocks) for one in found] == [(0, 50), (50, 50)]


@given(
    ends=st.lists(st.integers(1, 300), min_size=1, max_size=4), moving=st.integers(1, 400), staying=st.integers(1, 400)
)
def test_pieces_are_all_of_each_share_and_none_is_longer_than_it_may_be(
    ends: list[int], moving: int, staying: int
) -> None:
    made, sizes, at, windows = Round(), Sizes.first(1, 30), 7, []
    sizes.moving.rows, sizes.staying.rows = moving, staying
    for blocks in ends:
        windows.append(window(at, at + blocks))
        at += blocks
    made.begin(windows, sizes)
    seen: dict[int, list[int]] = {}
    for piece in pieces(made, sizes):
        assert piece.lo is not None
        assert piece.hi is not None
        assert 1 <= piece.blocks <= (moving if piece.moves else staying)
        assert block_of(piece.hi) - block_of(piece.lo) == piece.blocks
        seen.setdefault(piece.number, []).extend(range(block_of(piece.lo), block_of(piece.hi)))
    assert list(seen)[:3] == [0, 1, 2]
    for number in range(3):
        assert seen[number] == list(range(7, at))


def test_a_piece_follows_a_size_that_changes_within_a_wave() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 100)], sizes)
    sizes.moving.rows = 25
    first = made.next(sizes)
    assert first is not None
    assert first.blocks == 25
    assert made.next(sizes) == first  # until it is done
    made.done(first)
    sizes.moving.rows = 80
    second = made.next(sizes)
    assert second is not None
    assert (block_of(second.lo or []), second.blocks) == (25, 75)


def test_a_round_that_is_given_up_has_nothing_left() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 100)], sizes)
    made.give_up()
    assert made.next(sizes) is None
    assert not made.windows
