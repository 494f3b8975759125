"""The statements of verification: rows that are not in step, counted page by page without locks.

Both columns of a pair are in one row version, so each page is consistent in itself; no long snapshot is held. A page rests
as the session is set to (osc.sql.resting).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from osc.names import QName, quote
from osc.sql import keyset
from osc.sql.keyset import KeyColumn
from osc.sql.resting import BY_SETTING, rested
from osc.sql.rowscope import same


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair as verification sees it. ``up`` and ``down`` are ready for a query in which the table has its own name."""

    source: str | None
    target: str
    source_type: str | None
    target_type: str
    up: str
    down: str | None
    source_image: bool
    target_image: bool
    never_null: bool = False
    up_limit: str = ""
    """A condition on ``{value}`` (S) outside which ``up`` would raise; see osc.sql.sync_body."""
    down_limit: str = ""


def not_in_step(pairs: Sequence[Compared], me: str) -> str:
    """Return the condition that a row is out of step in at least one pair.

    In step: N is ``up(S)`` or S is ``down(N)``. A column with only an ``up`` is in step once it is not NULL where
    ``up`` is not.
    """
    return "(" + "\n        OR ".join(f"NOT ({_in_step(pair, me)})" for pair in pairs) + ")"


def lost_going_on(pairs: Sequence[Compared], me: str) -> str:
    """Return the condition that a row would lose something once the sources are gone.

    Behind the switch a value of N that S cannot hold leaves S NULL; that closes the way back, and loses nothing on the
    way forward. What S holds must be in N. CASE: for such a row ``down`` may raise.
    """
    each = [
        f"CASE WHEN {me}.{quote(pair.source)} IS NULL THEN false ELSE NOT ({_in_step(pair, me)}) END"
        for pair in pairs
        if pair.source is not None
    ]
    return "(" + "\n        OR ".join(each) + ")"


def _in_step(pair: Compared, me: str) -> str:
    target = f"{me}.{quote(pair.target)}"
    if pair.source is None:
        return f"{target} IS NOT NULL" + ("" if pair.never_null else f" OR {pair.up} IS NULL")
    source = f"{me}.{quote(pair.source)}"
    by_up = same(target, f"{pair.up}::{pair.target_type}", image=pair.target_image)
    by_up = _within(pair.up_limit, source, by_up)
    if pair.down is None:
        return by_up
    by_down = same(source, f"{pair.down}::{pair.source_type}", image=pair.source_image)
    return f"{by_up} OR {_within(pair.down_limit, target, by_down)}"


def _within(limit: str, value: str, condition: str) -> str:
    """Return ``condition`` asked only of values whose expression cannot raise: a page is then never read row by row."""
    if not limit:
        return condition
    return f"CASE WHEN ({limit.format(value=value)}) IS FALSE THEN false ELSE {condition} END"


Condition: TypeAlias = Callable[[Sequence[Compared], str], str]
"""What a row is counted for: ``not_in_step``, or what is ``lost_going_on``."""


def count(
    table: QName,
    key: Sequence[KeyColumn],
    pairs: Sequence[Compared],
    condition: Condition = not_in_step,
    *,
    root: QName | None = None,
) -> str:
    """Return the count over the page of ``$2`` rows behind ``$1``, up to ``$3``: rows, mismatches, last key (NULL: no row)."""
    me = quote((root or table).name)
    names = ", ".join(f"{quote(column.name)}" for column in key)
    return f"""WITH page AS MATERIALIZED (
{_page(table, key, condition(pairs, me), me)}
)
SELECT count(*) AS rows, count(*) FILTER (WHERE p.osc_out) AS mismatches,
       (SELECT {keyset.as_cursor(key, "q")} FROM (SELECT {names} FROM page) AS q
        ORDER BY {keyset.order(key, "q", descending=True)} LIMIT 1) AS last
FROM page AS p"""


def sample(
    table: QName,
    key: Sequence[KeyColumn],
    pairs: Sequence[Compared],
    condition: Condition = not_in_step,
    *,
    root: QName | None = None,
) -> str:
    """Return the query for keys out of step in the same page, ``$4`` of them at most."""
    me = quote((root or table).name)
    return f"""SELECT {keyset.as_cursor(key, "p")} AS key
FROM (
{_page(table, key, condition(pairs, me), me)}
) AS p
WHERE p.osc_out LIMIT $4"""


def _page(table: QName, key: Sequence[KeyColumn], out: str, me: str) -> str:
    return f"""    SELECT {keyset.columns(key, me)}, {out} AS osc_out
    FROM ONLY {table.sql} AS {me}
    WHERE {rested(BY_SETTING)}
      AND {keyset.after(key, me)} AND {keyset.up_to(key, me, "$3::text[]")}
    ORDER BY {keyset.order(key, me)} LIMIT $2"""


def next_key(table: QName, key: Sequence[KeyColumn], *, root: QName | None = None) -> str:
    """Return the query for the first key behind ``$1``, up to ``$2``, to step over a row whose expression raises."""
    me = quote((root or table).name)
    return (
        f"SELECT {keyset.as_cursor(key, me)} AS key FROM ONLY {table.sql} AS {me}\n"
        f"WHERE {keyset.after(key, me)} AND {keyset.up_to(key, me)} ORDER BY {keyset.order(key, me)} LIMIT 1"
    )
