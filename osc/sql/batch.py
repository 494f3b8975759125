"""The statements of the fill: one statement is one batch, one transaction, one round trip.

Each has the same spine: ``bounds`` finds the window without locking, ``moved`` is one UPDATE of the lane's own slice
row (fence, checkpoint and pause in one), and the table is changed only behind its RETURNING. When ``moved`` yields no
row nothing else in the statement can write, so "no row" can be believed. ``guard`` is a condition that must hold for a
batch to make sense: that the sync trigger stands and fires. One modification per row per statement: a
second UPDATE of the slice row in the same statement would silently be dropped (rationale.md item 8).
"""

from __future__ import annotations

from collections.abc import Sequence

from osc.names import QName, quote
from osc.sql import keeping, keyset
from osc.sql.filled import Filled
from osc.sql.keyset import KeyColumn

NOT_PAUSED = "NOT osc.is_paused(s.change)"
"""Read from the statement's snapshot and never locked: a pause commits at once, whatever is in flight (I20)."""

PLAIN_COLUMNS = 5
"""What a batch returns without its cost: cursor, finished, rows, filled, skipped."""
COST = (
    "extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000 AS ms,\n"
    "       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), moved.lsn) AS wal_bytes"
)
"""What the batch cost, in the columns behind those that need it done: server time, and what everybody wrote to the WAL
meanwhile, which is at least what it wrote itself. Counting its own alone takes statistics that come a second later."""


__all__ = [
    "COST",
    "NAME_POISON",
    "PLAIN_COLUMNS",
    "Filled",
    "end",
    "pass_over",
    "plain",
    "revisit",
    "skipping",
    "unfilled",
]


def plain(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the batch that waits (shortly) for locked rows.

    The values are computed by the UPDATE itself from the row version it locked; a value read beforehand could be
    older than a write of the application (S10, F51). Where values are kept the rows are locked first, because only
    the locked version tells which columns were NULL.
    """
    me = quote(table.name)
    done = _locked_and_kept(table, key, filled, _window(key, me)) if _keeps(filled) else _filled(table, key, filled)
    return f"""WITH {bounds(table.sql, key, me, only=True)},
moved AS (
{move_slice(guard)}
), {done}
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled) AS filled, 0::bigint AS skipped,
       {COST}
FROM moved"""


def skipping(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the batch that never waits for a row: what is locked is left, and the window is noted in the same statement.

    A noted window is visited again before anything is called complete (I8).
    """
    me = quote(table.name)
    window = _window(key, me)
    return f"""WITH {bounds(table.sql, key, me, only=True)},
moved AS (
{move_slice(guard)}
), {_locked_and_filled(table, key, filled, window)},
noted AS (
    INSERT INTO osc.skipped (change, step, slice, lo, hi, rows)
    SELECT moved.change, moved.step, moved.slice, {keyset.LO}, moved.cursor, missed.rows
    FROM moved, missed
    WHERE missed.rows > 0
    RETURNING rows
)
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled) AS filled,
       coalesce((SELECT rows FROM noted), 0) AS skipped,
       {COST}
FROM moved"""


def revisit(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the statement that visits a window again, both ends included; its note goes when nothing was left any more.

    ``$7`` is the note, or 0 for a window that has none (a poison row, a row that verification sent back). With a note
    the rows that were named as poison are passed by: CASE, because AND promises no order and their ``up`` raises.
    """
    me = quote(table.name)
    window = f"{keyset.from_(key, me)}\n      AND {keyset.up_to(key, me)}\n      AND EXISTS (SELECT FROM moved)"
    needs_work = (
        f"CASE WHEN $7::bigint > 0 AND {_named(key, me)} THEN false\n           ELSE {_needs_work(filled, me)} END"
    )
    return f"""WITH moved AS (
    UPDATE osc.slice AS s
    SET seq = s.seq + 1, batches = s.batches + 1
    WHERE s.slice = $4 AND s.epoch = $5 AND s.seq = $6
      AND {guard}
      AND {NOT_PAUSED}
    RETURNING s.change, s.step, s.slice
), {_locked_and_filled(table, key, filled, window, needs_work)},
gone AS (
    DELETE FROM osc.skipped AS k
    WHERE k.skipped = $7 AND EXISTS (SELECT FROM moved) AND (SELECT rows FROM missed) = 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM filled) AS filled, (SELECT rows FROM missed) AS skipped
FROM moved"""


def unfilled(table: QName, key: Sequence[KeyColumn], targets: Sequence[str]) -> str:
    """Return the query for the keys of a window in which a column is NULL, both ends included; evaluates no ``up``."""
    me = quote(table.name)
    empty = " OR ".join(f"{me}.{quote(target)} IS NULL" for target in targets)
    return (
        f"SELECT {keyset.as_cursor(key, me)} AS key FROM ONLY {table.sql} AS {me}\n"
        f"WHERE {keyset.from_(key, me)} AND {keyset.up_to(key, me)} AND ({empty})\nORDER BY {keyset.order(key, me)}"
    )


NAME_POISON = """WITH moved AS (
    UPDATE osc.slice AS s
    SET seq = s.seq + 1
    WHERE s.slice = $2 AND s.epoch = $3 AND s.seq = $4
    RETURNING s.change, s.step
)
INSERT INTO osc.poison (change, step, key, sqlstate, message)
SELECT moved.change, moved.step, $1::text[], $5::text, $6::text
FROM moved
ON CONFLICT (change, step, key) DO UPDATE SET sqlstate = EXCLUDED.sqlstate, message = EXCLUDED.message, at = clock_timestamp()
RETURNING 1"""
"""Name a poison row that was met behind the cursor: key, slice, epoch, seq, SQLSTATE, message."""


NAME_PASSED = """named AS (
    INSERT INTO osc.poison (change, step, key, sqlstate, message)
    SELECT moved.change, moved.step, moved.cursor, $7::text, $8::text
    FROM moved
    WHERE moved.rows > 0
    ON CONFLICT (change, step, key) DO UPDATE SET sqlstate = EXCLUDED.sqlstate, message = EXCLUDED.message, at = clock_timestamp()
    RETURNING 1
)"""


def pass_over(table: QName, key: Sequence[KeyColumn], *, guard: str = "true") -> str:
    """Return the statement that moves the cursor over one poison row and names it; nothing else is touched.

    ``$7`` is the SQLSTATE, ``$8`` the message.
    """
    me = quote(table.name)
    return f"""WITH {bounds(table.sql, key, me, only=True)},
moved AS (
{move_slice(guard)}
), {NAME_PASSED}
SELECT moved.cursor, moved.finished, moved.rows, 0::bigint AS filled, 0::bigint AS skipped
FROM moved"""


def end(table: QName, key: Sequence[KeyColumn]) -> str:
    """Return the query for the last key there is, as a cursor; no row for an empty table."""
    me = quote(table.name)
    return (
        f"SELECT {keyset.as_cursor(key, me)} AS cursor FROM ONLY {table.sql} AS {me}\n"
        f"ORDER BY {keyset.order(key, me, descending=True)} LIMIT 1"
    )


def bounds(relation: str, key: Sequence[KeyColumn], alias: str, *, only: bool, condition: str = "") -> str:
    """Return the page behind the cursor, found without locking, and its edge: the last key and how many rows."""
    return f"""bounds AS MATERIALIZED (
    SELECT {keyset.columns(key, alias)} FROM {"ONLY " if only else ""}{relation} AS {alias}
    WHERE {condition}{keyset.after(key, alias)} AND {keyset.up_to(key, alias)}
    ORDER BY {keyset.order(key, alias)} LIMIT $3
), edge AS MATERIALIZED (
    SELECT (SELECT {keyset.as_cursor(key, "b")} FROM bounds AS b
            ORDER BY {keyset.order(key, "b", descending=True)} LIMIT 1) AS cursor,
           (SELECT count(*) FROM bounds) AS rows, pg_catalog.pg_current_wal_insert_lsn() AS lsn
)"""


def move_slice(guard: str) -> str:
    """Return the one UPDATE of the slice row, which is fence, checkpoint and pause in one."""
    return f"""    UPDATE osc.slice AS s
    SET cursor = coalesce(edge.cursor, s.cursor), seq = s.seq + 1, batches = s.batches + 1,
        rows_seen = s.rows_seen + edge.rows, finished = edge.rows < $3
    FROM edge
    WHERE s.slice = $4 AND s.epoch = $5 AND s.seq = $6 AND NOT s.finished
      AND {guard}
      AND {NOT_PAUSED}
    RETURNING s.change, s.step, s.slice, s.cursor, s.finished, edge.rows, edge.lsn"""


def _named(key: Sequence[KeyColumn], me: str) -> str:
    """Return the condition that a row was named as poison. It reads the slice and not ``moved``, which the server could
    not ask again when it looks anew at a row that changed (EvalPlanQual runs no UPDATE).
    """
    return (
        "EXISTS (SELECT FROM osc.poison AS p JOIN osc.slice AS z ON z.change = p.change AND z.step = p.step\n"
        f"                 WHERE z.slice = $4 AND p.key = {keyset.as_cursor(key, me)})"
    )


def _window(key: Sequence[KeyColumn], me: str) -> str:
    return f"{keyset.after(key, me)}\n      AND {keyset.up_to_scalar(key, me, 'moved')}"


def _keeps(filled: Sequence[Filled]) -> bool:
    return any(one.keeps for one in filled)


def _filled(table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled]) -> str:
    me = quote(table.name)
    return f"""filled AS (
    UPDATE ONLY {table.sql} AS {me}
    SET {_assignments(filled)}
    WHERE {keyset.after(key, me)}
      AND {keyset.up_to_scalar(key, me, "moved")}
      AND {_needs_work(filled, me)}
    RETURNING 1
)"""


def _locked_and_filled(
    table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], window: str, needs_work: str = ""
) -> str:
    me = quote(table.name)
    needs_work = needs_work or _needs_work(filled, me)
    keys = ", ".join(f"osc_key_{n}" for n in range(1, len(key) + 1))
    row = keyset.columns(key, me)
    if _keeps(filled):
        first = _locked_and_kept(table, key, filled, window, needs_work, skip=True)
    else:
        first = f"""{_locked(table, key, window, needs_work, skip=True)}, filled AS (
    UPDATE ONLY {table.sql} AS {me}
    SET {_assignments(filled)}
    WHERE ({row}) IN (SELECT {keys} FROM locked)
      AND {needs_work}
    RETURNING 1
)"""
    return f"""{first}, missed AS (
    SELECT count(*) AS rows FROM ONLY {table.sql} AS {me}
    WHERE {window}
      AND {needs_work}
      AND ({row}) NOT IN (SELECT {keys} FROM locked)
)"""


def _locked(
    table: QName, key: Sequence[KeyColumn], window: str, needs_work: str, *, skip: bool, and_also: str = ""
) -> str:
    me = quote(table.name)
    names = ", ".join(f"{quote(column.name)} AS osc_key_{n}" for n, column in enumerate(key, 1))
    return f"""locked AS MATERIALIZED (
    SELECT {names}{and_also} FROM ONLY {table.sql} AS {me}
    WHERE {window}
      AND {needs_work}
    {"FOR NO KEY UPDATE SKIP LOCKED" if skip else "FOR NO KEY UPDATE"}
)"""


def _locked_and_kept(
    table: QName, key: Sequence[KeyColumn], filled: Sequence[Filled], window: str, needs_work: str = "",
    *, skip: bool = False,
) -> str:  # fmt: skip
    """Lock, fill and keep: the row's key and what was written go into osc.kept in this very statement."""
    me = quote(table.name)
    needs_work = needs_work or _needs_work(filled, me)
    same_row = " AND ".join(f"{me}.{quote(column.name)} = osc_locked.osc_key_{n}" for n, column in enumerate(key, 1))
    return f"""{_locked(table, key, window, needs_work, skip=skip, and_also=keeping.empty(filled, me))}, filled AS (
    UPDATE ONLY {table.sql} AS {me}
    SET {_assignments(filled)}
    FROM locked AS osc_locked
    WHERE {same_row}
      AND {needs_work}
    RETURNING {keyset.as_cursor(key, me)} AS osc_key, {keeping.written(filled, me)} AS osc_ours
), {keeping.KEPT}"""


def _assignments(filled: Sequence[Filled]) -> str:
    if len(filled) == 1:
        return f"{quote(filled[0].target)} = {filled[0].up}"
    return ",\n        ".join(
        f"{quote(one.target)} = CASE WHEN {quote(one.target)} IS NULL THEN {one.up} ELSE {quote(one.target)} END"
        for one in filled
    )


def _needs_work(filled: Sequence[Filled], me: str) -> str:
    """A row is filled when N is NULL and up(S) is not: what NEW wrote is never overwritten (I5)."""
    each = [
        f"({me}.{quote(one.target)} IS NULL" + (")" if one.never_null else f" AND {one.up} IS NOT NULL)")
        for one in filled
    ]
    return each[0] if len(each) == 1 else "(" + "\n           OR ".join(each) + ")"
