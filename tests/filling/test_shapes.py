"""Keys of any shape, drawn: one to eight columns of any mix of types, and rows locked by others while the pages go by.

Every row is filled exactly once or noted as skipped, every noted row is filled by the second visit, and verification
agrees; wherever the pages are cut, and although a cursor is nothing but text between two of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.filling.walk import Fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect

TEXTS = ["", " ", "a", "A", "ä", "ß", "b", "NULL", '"', "\\", "{}", "a,b", "\n", "😀", "Zz", "zz", "\u017f"]
MOMENTS = ["infinity", "-infinity", "0044-03-15 12:00:00.000001+00 BC", "4713-01-01 00:00+00 BC",
           "2024-10-27 02:30:00.999999+02", "2024-10-27 02:30:00.999999+01", "294276-12-31 23:59:59.999999+00"]  # fmt: skip
NUMBERS = ["NaN", "Infinity", "-Infinity", "0", "-0.0", "0.10", "0.1000", "-1e-30", "1e40", "9007199254740993"]
WHOLE = st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1)

TYPES: dict[str, st.SearchStrategy[str]] = {
    "int": WHOLE.map(str),
    "bigint": (WHOLE | st.sampled_from([-(2**63), 2**63 - 1, 2**53 + 1])).map(str),
    "text": st.sampled_from(TEXTS),
    'text COLLATE "C"': st.sampled_from(TEXTS),
    "varchar(9)": st.sampled_from(TEXTS),
    "uuid": st.uuids().map(str),
    "numeric": st.sampled_from(NUMBERS),
    "float8": st.sampled_from([*NUMBERS, "5e-324", "0.1"]),
    "timestamptz": st.sampled_from(MOMENTS) | st.datetimes().map(lambda one: f"{one}+00"),
    "date": st.sampled_from(["infinity", "-infinity", "0001-01-01 BC"]) | st.dates().map(str),
    "bytea": st.binary(max_size=3).map(lambda one: f"\\x{one.hex()}"),
    "mood": st.sampled_from(["sad", "ok", "a b,c", "happy"]),
    "boolean": st.sampled_from(["true", "false"]),
    "interval": st.sampled_from(["1 day", "24 hours", "-1 mon", "30 days", "0"]),
    "inet": st.sampled_from(["10.0.0.1", "10.0.0.1/8", "::1", "0.0.0.0/0"]),
}


@dataclass(frozen=True)
class Shape:
    """A table's key, its rows as server text, where its pages end, and which of its rows somebody locks."""

    types: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    limit: int
    locked: frozenset[int]
    descending: bool


@st.composite
def shapes(draw: Callable[..., Any]) -> Shape:
    types = tuple(draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=8)))
    rows = tuple(draw(st.lists(st.tuples(*(TYPES[one] for one in types)), max_size=14)))
    return Shape(
        types, rows, draw(st.integers(1, 5)), draw(st.frozensets(st.integers(0, 13), max_size=4)), draw(st.booleans())
    )


class Story:
    """One shape on the server: its table, its fill, and a transaction that holds some rows."""

    def __init__(self, dsn: str, connect: Connect, shape: Shape) -> None:
        self.shape, self.admin = shape, connect(dsn)
        names = [f"k{n}" for n in range(len(shape.types))]
        self.admin.execute("DROP TABLE IF EXISTS items")
        columns = ", ".join(f"{name} {type_} NOT NULL" for name, type_ in zip(names, shape.types, strict=True))
        self.admin.execute(f"CREATE TABLE items ({columns}, id serial, v int DEFAULT 7)".encode())
        order = ", ".join(f"{name}{' DESC' if shape.descending else ''}" for name in names)
        self.admin.execute(f"CREATE UNIQUE INDEX ON items ({order})".encode())
        with self.admin.cursor() as cursor:
            values = ", ".join(f"%s::text::{type_.partition(' COLLATE')[0]}" for type_ in shape.types)
            insert = f"INSERT INTO items ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"
            cursor.executemany(insert.encode(), shape.rows)
        self.fill = Fill(dsn, connect)
        self.total = self.fill.value("SELECT count(*) FROM public.items")

    def pages(self, *, skipping: bool) -> tuple[int, int, int]:
        """Walk to the end; return how many rows were looked at, filled and skipped."""
        lane, looked, filled, skipped = self.fill.lane(), 0, 0, 0
        lane.conn.execute("SET lock_timeout = '5s'")
        while True:
            reply = lane.skipping(self.shape.limit) if skipping else lane.batch(self.shape.limit)
            assert reply is not None
            looked, filled, skipped = looked + reply.rows, filled + reply.filled, skipped + reply.skipped
            if reply.finished:
                self.lane = lane
                return looked, filled, skipped
            assert looked <= self.total

    def tell(self) -> None:
        """Skip what is locked, visit it again, and find every row in step."""
        held = f"id = ANY (ARRAY(SELECT id FROM items ORDER BY id)) AND id - 1 = ANY ('{{{','.join(map(str, self.shape.locked))}}}')"
        with self.admin.transaction(force_rollback=True):
            locked = self.admin.execute(f"SELECT FROM items WHERE {held} FOR UPDATE".encode()).rowcount
            assert self.pages(skipping=True) == (self.total, self.total - locked, locked)
        revisited = [self.lane.revisit(lo, hi, note) for note, lo, hi, _ in self.fill.notes()]
        assert sum(one[0] for one in revisited if one) == locked
        assert self.fill.notes() == []
        assert self.fill.out_of_step() == []

    def tell_again(self) -> None:
        """The same rows in plain batches, on a slice of their own."""
        self.fill.again()
        self.fill.conn.execute("UPDATE osc.slice SET cursor = NULL, seq = 0, finished = false")
        assert self.pages(skipping=False) == (self.total, self.total, 0)

    def close(self) -> None:
        self.fill.close()
        for lane in self.fill.lanes:
            lane.conn.close()
        self.admin.execute("DROP TABLE items; DROP SCHEMA osc CASCADE")
        self.admin.close()


@pytest.mark.timeout(180)
def test_pages_of_a_key_of_any_shape_fill_every_row_once_or_note_it(dsn: str, connect: Connect) -> None:
    connect(dsn).execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'a b,c', 'happy')")

    @settings(max_examples=30, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
              suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
    @given(shapes())
    def holds(shape: Shape) -> None:
        story = Story(dsn, psycopg_connect, shape)
        try:
            story.tell()
            story.tell_again()
        finally:
            story.close()

    def psycopg_connect(dsn: str | None = None, **kwargs: Any) -> psycopg.Connection[Any]:
        """Open a connection that the story closes, not the end of the test: there are many stories."""
        assert dsn is not None
        return psycopg.connect(dsn, **{"autocommit": True, **kwargs})

    holds()
