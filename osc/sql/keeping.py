"""Keeping what a fill overwrites of the application's own: the parts of a batch that write osc.kept.

The batch that gives a row a value inserts the row's key and that value in the same statement: both are there, or
neither. One row of osc.kept for each row of the table, however many columns were filled. See putback.py for the way
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.names import literal, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.sql.filled import Filled

KEPT = """kept AS (
    INSERT INTO osc.kept AS k (change, step, key, ours)
    SELECT moved.change, moved.step, filled.osc_key, filled.osc_ours
    FROM moved, filled
    WHERE filled.osc_ours <> '{}'
    ON CONFLICT (change, step, key) DO UPDATE SET ours = k.ours || EXCLUDED.ours
)"""
"""A row that is filled a second time (the application had set it back to NULL) holds the newest value of ours."""


def empty(filled: Sequence[Filled], me: str) -> str:
    """Return, for the rows as they are locked, which columns the fill is about to give a value: ``osc_empty_n``."""
    return "".join(
        f",\n           {me}.{quote(one.target)} IS NULL AND {one.up} IS NOT NULL AS osc_empty_{n}"
        for n, one in enumerate(_own(filled), 1)
    )


def written(filled: Sequence[Filled], me: str) -> str:
    """Return the values that an UPDATE from ``osc_locked`` wrote into columns that were NULL, as one object of texts."""
    parts = [
        f"CASE WHEN osc_locked.osc_empty_{n} AND {me}.{quote(one.target)} IS NOT NULL\n"
        f"        THEN pg_catalog.jsonb_build_object({literal(one.target)}, {me}.{quote(one.target)}::text) "
        "ELSE '{}'::jsonb END"
        for n, one in enumerate(_own(filled), 1)
    ]
    return " || ".join(parts)


def _own(filled: Sequence[Filled]) -> Iterator[Filled]:
    return (one for one in filled if one.keeps)
