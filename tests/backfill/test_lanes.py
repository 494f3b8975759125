"""How many lanes are wanted: what was asked for, or by ``auto`` as many as harm nobody and bring something."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from osc.executor.backfill.crew import lane_of
from osc.executor.backfill.lanes import BACK_AFTER, LOOK_EVERY_S, Lanes
from osc.executor.backfill.pace import AUTO, LANES_AUTO_MAX
from osc.executor.backfill.slicing import walk_for
from osc.executor.backfill.waves import Heap, Shares
from osc.names import QName
from osc.settings import DEFAULTS


class Made:
    """A made-up fill: its clock, its signals, and how many rows a second so many lanes fill."""

    def __init__(self, lanes: int | str, *rates: float) -> None:
        self.now_s, self.rates = 0.0, rates
        self.signals: Any = SimpleNamespace(is_near=False)
        self.meter: Any = SimpleNamespace(seen=0)
        self.pace: Any = SimpleNamespace(lanes=lanes)
        clock: Any = SimpleNamespace(monotonic=lambda: self.now_s)
        self.lanes = Lanes(self.pace, self.signals, self.meter, clock)
        self.lanes.look(0)

    def goes_on(self, seconds: float = LOOK_EVERY_S) -> int:
        """Fill for a while, look, and return how many lanes are wanted then."""
        self.now_s += seconds
        self.meter.seen += self.rates[self.lanes.wanted - 1] * seconds
        self.lanes.look(self.lanes.wanted)
        return self.lanes.wanted


def test_a_number_is_what_is_wanted_and_may_change_at_any_time() -> None:
    made = Made(3)
    assert made.lanes.wanted == 3
    made.pace.lanes = 1
    made.lanes.look(3)
    assert made.lanes.wanted == 1


def test_auto_climbs_while_each_lane_brings_something_and_not_beyond_its_most() -> None:
    made = Made(AUTO, 100, 190, 270, 340)
    assert [made.goes_on() for _ in range(6)] == [2, 3, 4, *[LANES_AUTO_MAX] * 3]


def test_a_lane_that_brings_nothing_goes_and_is_tried_again_much_later() -> None:
    made = Made(AUTO, 100, 190, 195)
    assert [made.goes_on() for _ in range(3)] == [2, 3, 2]
    assert [made.goes_on() for _ in range(BACK_AFTER)] == [*[2] * (BACK_AFTER - 1), 3]


def test_near_a_limit_a_lane_goes_at_once_and_none_is_added() -> None:
    made = Made(AUTO, 100, 190, 270, 340)
    assert [made.goes_on() for _ in range(2)] == [2, 3]
    made.signals.is_near = True
    assert [made.goes_on(1.0) for _ in range(4)] == [2, 1, 1, 1]
    assert made.goes_on() == 1


def test_waves_that_were_set_meanwhile_are_in_force_for_the_lanes_next_slice() -> None:
    step: Any = SimpleNamespace(walk=lambda _: SimpleNamespace(wave="w"), table=QName("public", "t"))
    piece: Any = SimpleNamespace(walk="blocks", seq=0, cursor=None, lo=None)
    lead: Any = SimpleNamespace(settings=DEFAULTS)
    pace: Any = SimpleNamespace(batch_target_ms=100, speed=1.0, waves=8)
    heap, conn = Heap(blocks=1_000, rows_per_block=60, free_share=0.0, indexes=5), None
    first = lane_of(lead, step, piece, conn, pace, heap)  # type: ignore[arg-type]
    first.size.rows = 77
    pace.waves = 3
    second = lane_of(lead, step, piece, conn, pace, heap, before=first)  # type: ignore[arg-type]
    assert (second.waves.shares, second.size.rows) == (Shares.equal(3), 77)


def test_what_one_statement_takes_is_not_handed_on_from_rows_to_blocks() -> None:
    """Of a partitioned table one leaf may be walked along its key and the next one through its blocks."""
    step: Any = SimpleNamespace(walk=lambda _: SimpleNamespace(wave="w"), table=QName("public", "t"))
    lead: Any = SimpleNamespace(settings=DEFAULTS)
    pace: Any = SimpleNamespace(batch_target_ms=100, speed=1.0, waves=8)
    heap, conn = Heap(blocks=1_000, rows_per_block=60, free_share=0.0, indexes=5), None
    pieces: list[Any] = [SimpleNamespace(walk=walk, seq=0, cursor=None, lo=None) for walk in ("keyset", "blocks")]
    along = lane_of(lead, step, pieces[0], conn, pace, heap)  # type: ignore[arg-type]
    along.size.rows = 20_000
    through = lane_of(lead, step, pieces[1], conn, pace, heap, before=along)  # type: ignore[arg-type]
    assert through.size.rows == max(1, round(DEFAULTS.batch_rows_first / 60))


@pytest.mark.parametrize(
    ("follows", "indexes", "walk"),
    [(True, 2, "keyset"), (True, 1, "blocks"), (False, 5, "blocks"), (None, 5, "blocks")],
)
def test_a_table_is_walked_along_its_key_where_the_heap_follows_it_and_looking_for_edges_is_not_felt(
    follows: bool | None, indexes: int, walk: str
) -> None:
    step: Any = SimpleNamespace(blocks="by blocks", key=("id",))
    heap = Heap(blocks=1_000, rows_per_block=60, free_share=0.0, indexes=indexes, follows_the_key=follows)
    assert walk_for(step, heap, "auto") == walk
    assert walk_for(step, heap, "keyset") == "keyset"
    assert walk_for(SimpleNamespace(blocks=None, key=("id",)), heap, "auto") == "keyset"  # type: ignore[arg-type]
