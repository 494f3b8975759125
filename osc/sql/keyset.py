"""Paging a table by a unique key: conditions, orders and cursors.

A cursor is an array of the key's columns as the server writes them, cast back to the column's type by the server:
no key value ever passes through a Python type, where microseconds, NaN or a numeric's scale could be lost (F55-F61).
"""

from __future__ import annotations

from collections.abc import Sequence

from osc.names import quote
from osc.values import Value

LO = "$1::text[]"
HI = "$2::text[]"


class KeyColumn(Value):
    """A column of the key a table is paged by. Cursors are server text, cast back to ``type`` in SQL."""

    name: str
    type: str
    collation: str | None = None


def columns(key: Sequence[KeyColumn], alias: str) -> str:
    """Return the key's columns, comma-separated, of the relation ``alias``."""
    return ", ".join(f"{alias}.{quote(column.name)}" for column in key)


def order(key: Sequence[KeyColumn], alias: str, *, descending: bool = False) -> str:
    """Return the ORDER BY list that walks the key's index."""
    direction = " DESC" if descending else ""
    return ", ".join(f"{alias}.{quote(column.name)}{_collate(column)}{direction}" for column in key)


def as_cursor(key: Sequence[KeyColumn], alias: str) -> str:
    """Return an expression for the cursor at a row of ``alias``."""
    parts = ", ".join(f"{alias}.{quote(column.name)}::text" for column in key)
    return f"ARRAY[{parts}]"


def after(key: Sequence[KeyColumn], alias: str, bound: str = LO) -> str:
    """Return the condition "behind ``bound``"; NULL is no bound, so the first page starts at the very first key."""
    return f"({bound} IS NULL OR {_row(key, alias)} > {_bound(key, bound)})"


def from_(key: Sequence[KeyColumn], alias: str, bound: str = LO) -> str:
    """Return the condition "at ``bound`` or behind"; NULL is no bound."""
    return f"({bound} IS NULL OR {_row(key, alias)} >= {_bound(key, bound)})"


def up_to(key: Sequence[KeyColumn], alias: str, bound: str = HI) -> str:
    """Return the condition "at ``bound`` or before"; NULL is no bound."""
    return f"({bound} IS NULL OR {_row(key, alias)} <= {_bound(key, bound)})"


def up_to_scalar(key: Sequence[KeyColumn], alias: str, relation: str) -> str:
    """Return "at the cursor that ``relation`` (one row, column ``cursor``) holds or before"; false without a row.

    A scalar sub-select and not a join: the planner then sees an ordinary range of the index.
    """
    bounds = ", ".join(f"(w.cursor)[{n}]::{column.type}{_collate(column)}" for n, column in enumerate(key, 1))
    return f"{_row(key, alias)} <= (SELECT {bounds} FROM {relation} AS w)"


def is_within(key: Sequence[KeyColumn]) -> str:
    """Return the query whether the cursor ``$2`` is a key between ``$1`` and ``$3``; it fails for what is no key at all."""

    def bound(text: str) -> str:
        values = ", ".join(f"({text}::text[])[{n}]::{column.type}{_collate(column)}" for n, column in enumerate(key, 1))
        return values if len(key) == 1 else f"ROW({values})"

    lo, cursor, hi = bound("$1"), bound("$2"), bound("$3")
    return (
        f"SELECT array_length($2::text[], 1) = {len(key)}\n"
        f"   AND coalesce($1::text[] IS NULL OR {cursor} >= {lo}, false)\n"
        f"   AND coalesce($3::text[] IS NULL OR {cursor} <= {hi}, false)"
    )


def _row(key: Sequence[KeyColumn], alias: str) -> str:
    row = ", ".join(f"{alias}.{quote(column.name)}{_collate(column)}" for column in key)
    return row if len(key) == 1 else f"ROW({row})"


def _bound(key: Sequence[KeyColumn], bound: str) -> str:
    values = ", ".join(f"({bound})[{n}]::{column.type}" for n, column in enumerate(key, 1))
    return values if len(key) == 1 else f"ROW({values})"


def _collate(column: KeyColumn) -> str:
    return f" COLLATE {column.collation}" if column.collation else ""
