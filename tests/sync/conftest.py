"""What the tests of the sync trigger share: changes taken through their phases by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.sync.rig import ByHand

if TYPE_CHECKING:
    from collections.abc import Iterator


class Begin(Protocol):
    """Compiles a change of the tables that are there."""

    def __call__(self, operations: str, rest: str = "") -> ByHand: ...


@pytest.fixture
def begin(dsn: str) -> Iterator[Begin]:
    """Give a function that compiles a change for the database of the test."""
    begun: list[ByHand] = []

    def make(operations: str, rest: str = "") -> ByHand:
        begun.append(ByHand(dsn, operations, rest))
        return begun[-1]

    yield make
    for change in begun:
        change.close()
