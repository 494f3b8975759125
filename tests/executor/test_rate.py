"""The rate is that of the last two minutes, and each thing that is counted has its own."""

from __future__ import annotations

from osc.executor.rate import WINDOW_S, Rate


def test_what_was_slow_long_ago_is_forgotten() -> None:
    rate = Rate()
    assert rate.mark("fill", 0.0, 0) is None
    assert rate.mark("fill", 10.0, 100) == 10.0
    told = [rate.mark("fill", 10.0 + s, 100 + 50 * s) for s in range(1, int(WINDOW_S) + 12)]
    assert told[-1] == 50.0


def test_a_rest_makes_it_slower_and_a_long_one_begins_anew() -> None:
    rate = Rate()
    rate.mark("fill", 0.0, 0)
    assert rate.mark("fill", 10.0, 1000) == 100.0
    assert rate.mark("fill", 40.0, 1000) == 25.0
    assert rate.mark("fill", 40.0 + 2 * WINDOW_S, 1001) is None


def test_another_pass_or_phase_has_a_rate_of_its_own() -> None:
    rate = Rate()
    rate.mark("verify", 0.0, 0)
    assert rate.mark("verify", 10.0, 500) == 50.0
    assert rate.mark("verify", 11.0, 10) is None  # the table is looked at again, from the beginning
    assert rate.mark("verify", 12.0, 30) == 20.0
    assert rate.mark("index", 13.0, 1_000) is None
