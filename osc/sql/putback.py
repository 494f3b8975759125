"""The way back of a fill that kept what it overwrote: osc.kept is walked as the fill walked the table, by the same engine.

A batch moves the slice, gives each row that still holds ours, by image, its old value back, and deletes what it has
looked at from osc.kept, all in one statement. So it can be stopped and taken up again anywhere, and no row is put back
twice. A row that the application has changed since, deleted or given another key is left as it is.

Parameters and replies are those of osc.sql.batch; bounds are keys of osc.kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.names import literal, quote
from osc.sql import keyset
from osc.sql.batch import COST, move_slice
from osc.sql.keyset import KeyColumn
from osc.sql.pages import bounds
from osc.sql.passing import NAME_PASSED
from osc.sql.rowscope import same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osc.names import QName
    from osc.sql.filled import Filled

KEY = (KeyColumn(name="key", type="text[]", collation='pg_catalog."C"'),)
"""What osc.kept is paged by: the key of the row, as text."""

_MINE = (
    "k.change = (SELECT z.change FROM osc.slice AS z WHERE z.slice = $4)\n"
    "      AND k.step = (SELECT z.step FROM osc.slice AS z WHERE z.slice = $4)\n      AND "
)
_WINDOW = f"{_MINE}{keyset.after(KEY, 'k')}\n      AND {keyset.up_to_scalar(KEY, 'k', 'moved')}"
_WINDOW_AGAIN = (
    f"{_MINE}{keyset.from_(KEY, 'k')}\n      AND {keyset.up_to(KEY, 'k')}\n      AND EXISTS (SELECT FROM moved)"
)
_BOUNDS = bounds("osc.kept", KEY, "k", only=False, condition=_MINE)
_NAMED = (
    "EXISTS (SELECT FROM osc.poison AS p\n"
    '                 WHERE p.change = k.change AND p.step = k.step AND p.key = ARRAY[k."key"::text])'
)

UNFILLED = (
    'SELECT ARRAY[k."key"::text] AS key FROM osc.kept AS k\n'
    "WHERE k.change = (SELECT z.change FROM osc.slice AS z WHERE z.slice = $3)\n"
    "  AND k.step = (SELECT z.step FROM osc.slice AS z WHERE z.slice = $3)\n"
    f"  AND {keyset.from_(KEY, 'k')} AND {keyset.up_to(KEY, 'k')}\nORDER BY {keyset.order(KEY, 'k')}"
)
"""The keys of a window that is not put back yet, both ends included; ``$3`` is the slice."""


def plain(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled]) -> str:
    """Return the batch that waits (shortly) for locked rows."""
    return f"""WITH {_BOUNDS},
moved AS (
{move_slice("true")}
), {_put(table, key, filled, _WINDOW)}, looked_at AS (
    DELETE FROM osc.kept AS k
    WHERE {_WINDOW}
)
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM put) AS filled, 0::bigint AS skipped,
       {COST}
FROM moved"""


def skipping(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled]) -> str:
    """Return the batch that never waits for a row: a locked one keeps its place in osc.kept, and its window is noted."""
    return f"""WITH {_BOUNDS},
moved AS (
{move_slice("true")}
), {_locked_and_put(table, key, filled, _WINDOW)}, noted AS (
    INSERT INTO osc.skipped (change, step, slice, lo, hi, rows)
    SELECT moved.change, moved.step, moved.slice, {keyset.LO}, moved.cursor, (SELECT count(*) FROM missed)
    FROM moved
    WHERE EXISTS (SELECT FROM missed)
    RETURNING rows
)
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM put) AS filled,
       coalesce((SELECT rows FROM noted), 0) AS skipped,
       {COST}
FROM moved"""


def revisit(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled]) -> str:
    """Return the statement that visits a window again, both ends included; with a note (``$7``) it passes poison by."""
    window = f"{_WINDOW_AGAIN}\n      AND NOT ($7::bigint > 0 AND {_NAMED})"
    return f"""WITH moved AS (
    UPDATE osc.slice AS s
    SET seq = s.seq + 1, batches = s.batches + 1
    WHERE s.slice = $4 AND s.epoch = $5 AND s.seq = $6
      AND NOT osc.is_paused(s.change)
    RETURNING s.slice
), {_locked_and_put(table, key, filled, window)}, gone AS (
    DELETE FROM osc.skipped AS n
    WHERE n.skipped = $7 AND EXISTS (SELECT FROM moved) AND NOT EXISTS (SELECT FROM missed)
)
SELECT (SELECT count(*) FROM put) AS filled, (SELECT count(*) FROM missed) AS skipped
FROM moved"""


def pass_over() -> str:
    """Return the statement that moves the cursor over one row that cannot be put back, and names it."""
    return f"""WITH {_BOUNDS},
moved AS (
{move_slice("true")}
), {NAME_PASSED}
SELECT moved.cursor, moved.finished, moved.rows, 0::bigint AS filled, 0::bigint AS skipped,
       {COST}
FROM moved"""


def _put(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], window: str, and_also: str = "") -> str:
    me = quote(table.name)
    return f"""put AS (
    UPDATE ONLY {table.sql} AS {me}
    SET {_old_values(filled, me)}
    FROM osc.kept AS k
    WHERE {window}
      AND {_same_row(key, me)}
      AND {_holds_ours(filled, me)}{and_also}
    RETURNING 1
)"""


def _locked_and_put(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], window: str) -> str:
    """What is locked by others stays in osc.kept: ``missed`` has what this statement's snapshot showed beside it."""
    me = quote(table.name)
    found = f"""FROM osc.kept AS k JOIN ONLY {table.sql} AS {me} ON {_same_row(key, me)}
    WHERE {window}
      AND {_holds_ours(filled, me)}"""
    of_locked = '\n      AND k."key" IN (SELECT locked.osc_key FROM locked)'
    return f"""locked AS MATERIALIZED (
    SELECT k."key" AS osc_key {found}
    FOR NO KEY UPDATE OF {me} SKIP LOCKED
), missed AS MATERIALIZED (
    SELECT k."key" AS osc_key {found}
      AND k."key" NOT IN (SELECT locked.osc_key FROM locked)
), {_put(table, key, filled, window, of_locked)}, looked_at AS (
    DELETE FROM osc.kept AS k
    WHERE {window}
      AND k."key" NOT IN (SELECT missed.osc_key FROM missed)
)"""


def _same_row(key: Sequence[KeyColumn], me: str) -> str:
    return " AND ".join(
        f"{me}.{quote(column.name)}{f' COLLATE {column.collation}' if column.collation else ''}"
        f' = (k."key")[{n}]::{column.type}'
        for n, column in enumerate(key, 1)
    )


def _old_values(filled: Sequence[Filled], me: str) -> str:
    return ",\n        ".join(
        f"{quote(one.target)} = CASE WHEN {_holds(one, me)} THEN (k.was ->> {literal(one.target)})::{one.type}"
        f" ELSE {me}.{quote(one.target)} END"
        for one in filled
    )


def _holds_ours(filled: Sequence[Filled], me: str) -> str:
    return "(" + "\n           OR ".join(_holds(one, me) for one in filled) + ")"


def _holds(one: Filled, me: str) -> str:
    ours = f"(k.ours ->> {literal(one.target)})"
    return f"({ours} IS NOT NULL AND {same(f'{me}.{quote(one.target)}', f'{ours}::{one.type}', image=True)})"
