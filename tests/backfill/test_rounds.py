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
    while (piece := made.take(sizes)) is not None:
        found.append(piece)
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
def test_pieces_are_all_of_each_share_and_none_is_much_longer_than_it_may_be(
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
        assert 1 <= piece.blocks <= max(1, 1.5 * (moving if piece.moves else staying))
        assert block_of(piece.hi) - block_of(piece.lo) == piece.blocks
        seen.setdefault(piece.number, []).extend(range(block_of(piece.lo), block_of(piece.hi)))
    assert list(seen)[:3] == [0, 1, 2]
    for number in range(3):
        assert seen[number] == list(range(7, at))


def test_a_piece_follows_a_size_that_changes_within_a_wave() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 100)], sizes)
    sizes.moving.rows = 25
    first = made.take(sizes)
    assert first is not None
    assert first.blocks == 25
    sizes.moving.rows = 80
    second = made.take(sizes)
    assert second is not None
    assert (block_of(second.lo or []), second.blocks) == (25, 75)


@given(taken=st.integers(1, 12), size=st.integers(5, 60), then=st.integers(1, 60))
def test_what_is_put_back_is_taken_again_whatever_size_it_has_then(taken: int, size: int, then: int) -> None:
    made, sizes = Round(), Sizes.first(size, 30)
    made.begin([window(0, 100), window(100, 140)], sizes)
    before = [made.take(sizes) for _ in range(taken)]
    in_flight = [piece for piece in (made.take(sizes), made.take(sizes)) if piece is not None]
    for piece in reversed(in_flight):
        made.put_back(piece)
    sizes.moving.rows = sizes.staying.rows = then
    done = [piece for piece in before if piece is not None] + pieces(made, sizes)
    for number in range(3):
        blocks = [
            n for one in done if one.number == number for n in range(one.first_block, one.first_block + one.blocks)
        ]
        assert blocks == list(range(140))


def test_a_piece_is_up_to_half_longer_rather_than_cut_in_two_that_are_half_empty() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 149)], sizes)
    assert [(one.number, one.blocks) for one in pieces(made, sizes)] == [(0, 149), (1, 149), (2, 149)]
    made.begin([window(0, 151)], sizes)
    assert [(one.number, one.blocks) for one in pieces(made, sizes)][:2] == [(0, 76), (0, 75)]


def test_a_round_that_is_given_up_has_nothing_left() -> None:
    made, sizes = Round(), Sizes.first(100, 30)
    made.begin([window(0, 100)], sizes)
    made.give_up()
    assert made.take(sizes) is None
    assert not made.windows
