"""What a run leaves out for the sake of time has its day: no case of a sample is left out for ever."""

from __future__ import annotations

import pytest

from tests.fixtures import postgres, sweeping


@pytest.mark.parametrize("size", [1, 2, 5, 11, 12])
def test_every_case_has_its_day_and_no_day_has_one_twice(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.delenv("OSC_TEST_SWEEP", raising=False)
    cases, seen = list(range(12)), set()
    for day in range(740_000, 740_000 + len(cases)):
        monkeypatch.setattr(sweeping, "SEED", day)
        today = sweeping.sampled(cases, size)
        assert len(today) == len(set(today)) == size
        seen.update(today)
    assert seen == set(cases)


def test_a_sweep_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSC_TEST_SWEEP", "1")
    assert sweeping.daily(range(12), 3) == list(range(12))


def test_a_case_meets_one_version_a_day_and_the_other_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_versions", lambda: [16, 18])
    met = []
    for day in range(740_000, 740_004):
        monkeypatch.setattr(postgres, "SEED", day)
        met.append([version for version in (16, 18) if postgres.is_todays(f"a.py::test_it[pg{version}-case]", version)])
    assert met in ([[16], [18]] * 2, [[18], [16]] * 2)
