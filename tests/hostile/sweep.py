"""Which cases run: all of them where OSC_TEST_SWEEP is set, else those that take different ways through the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.sweeping import sweeping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def sample(cases: Iterable[str], chosen: Collection[str]) -> list[str]:
    """Return all ``cases``, or those that are ``chosen`` for every run; a chosen one that does not exist is an error."""
    every = list(cases)
    unknown = set(chosen) - set(every)
    assert not unknown, unknown
    return every if sweeping() else [case for case in every if case in chosen]
