"""What stories about the fill share: changes brought to the beginning of their fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.filling.walk import TENFOLD, Fill
from tests.operations.conftest import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.postgres import Connect

__all__ = ["begin", "items", "lab"]


class Begin(Protocol):
    """Brings a change of the tables that are there to the beginning of its fill."""

    def __call__(self, operations: str = TENFOLD) -> Fill: ...


class Items(Protocol):
    """Makes table ``items`` (id, v) with rows 1 to ``rows`` and brings its change to the beginning of its fill."""

    def __call__(self, rows: int = 10) -> Fill: ...


@pytest.fixture
def begin(dsn: str, connect: Connect) -> Iterator[Begin]:
    """Give a function that begins a fill in the database of the test."""
    begun: list[Fill] = []

    def make(operations: str = TENFOLD) -> Fill:
        begun.append(Fill(dsn, connect, operations))
        return begun[-1]

    yield make
    for fill in begun:
        fill.close()


@pytest.fixture
def items(connect: Connect, begin: Begin) -> Items:
    """Give a function that makes the table most stories are about."""

    def make(rows: int = 10) -> Fill:
        conn = connect()
        conn.execute("CREATE TABLE items (id bigint PRIMARY KEY, v int)")
        conn.execute(f"INSERT INTO items (id, v) SELECT n, n FROM generate_series(1, {rows}) AS n")
        return begin()

    return make
