"""The statements of the fill: one statement is one batch, one transaction, one round trip; a wave is asked what it did besides.

Each has the same spine: ``bounds`` finds the window without locking, ``moved`` is one UPDATE of the lane's own slice
row (fence, checkpoint and pause in one), and the table is changed only behind its RETURNING. When ``moved`` yields no
row nothing else in the statement can write, so "no row" can be believed. ``guard`` is a condition that must hold for a
batch to make sense: that the sync trigger stands and fires. One modification per row per statement: a
second UPDATE of the slice row in the same statement would silently be dropped (rationale.md item 8).

What may take long rests in between (osc.sql.resting): a batch after as many microseconds of work as the parameter
``rests`` of its page says.
"""

from __future__ import annotations

from collections.abc import Sequence

from osc.names import QName, literal, quote
from osc.sql import keeping, keyset
from osc.sql.filled import Filled
from osc.sql.pages import ByKey, Page, filenode
from osc.sql.resting import rested

NOT_PAUSED = "NOT osc.is_paused(s.change)"
"""Read from the statement's snapshot and never locked: a pause commits at once, whatever is in flight (I20)."""
FENCED = "s.slice = $4 AND s.epoch = $5 AND s.seq = $6"
"""What makes a zombie's and a lost reply's statement find nothing (I17, I19)."""

PLAIN_COLUMNS = 5
"""What a batch returns without its cost: cursor, finished, rows, filled, skipped."""
COST = (
    "extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.statement_timestamp()) * 1000 AS ms,\n"
    "       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), moved.lsn) AS wal_bytes"
)
"""What the batch cost, in the columns behind those that need it done: server time, and what everybody wrote to the WAL
meanwhile, which is at least what it wrote itself. Counting its own alone takes statistics that come a second later."""

MOVED = "osc.moved"
"""The setting in which a wave leaves, until its transaction ends, that it came through its fence, and what was counted before it."""
TOLD = "osc_told"
"""The name under which a session prepares the question that is asked behind a wave."""


__all__ = [
    "COST",
    "FENCED",
    "MOVED",
    "PLAIN_COLUMNS",
    "TOLD",
    "Filled",
    "ask_wave",
    "close",
    "end",
    "end_of_blocks",
    "plain",
    "revisit",
    "skipping",
    "unfilled",
    "wave",
]


def plain(page: Page, filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the batch that waits (shortly) for locked rows.

    The values are computed by the UPDATE itself from the row version it locked; a value read beforehand could be
    older than a write of the application (S10, F51). Where values are kept the rows are locked first, because only
    the locked version tells which columns were NULL.
    """
    window = _window(page)
    work = _rested_work(page, filled)
    done = _locked_and_kept(page, filled, window, work) if _keeps(filled) else _filled(page, filled, window, work)
    return f"""WITH {page.edge(page.rests)},
moved AS (
{move_slice(guarded(page, guard), _hot_before(page, filled))}
), {done}
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled) AS filled, 0::bigint AS skipped,
       {COST}{_hot(page, filled)}
FROM moved"""


def skipping(page: Page, filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the batch that never waits for a row: what is locked is left, and the window is noted in the same statement.

    A noted window is visited again before anything is called complete (I8).
    """
    return f"""WITH {page.edge(page.rests)},
moved AS (
{move_slice(guarded(page, guard))}
), {_locked_and_filled(page, filled, _window(page), _rested_work(page, filled))},
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


def close(page: ByKey, filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the batch that ends a window whose end ``$2`` and number of rows ``$3`` are known: nobody looks for its bounds."""
    return f"""WITH edge AS MATERIALIZED (
    SELECT {keyset.HI} AS cursor, true AS is_last, $3::bigint AS rows, pg_catalog.pg_current_wal_insert_lsn() AS lsn
), moved AS (
{move_slice(guarded(page, guard), _hot_before(page, filled))}
), {_filled(page, filled, _window(page), _rested_work(page, filled))}
SELECT moved.cursor, moved.finished, moved.rows, (SELECT count(*) FROM filled) AS filled, 0::bigint AS skipped,
       {COST}{_hot(page, filled)}
FROM moved"""


def wave(page: Page, filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the statement that fills a share of some blocks, from ``$1`` to ``$2``: places ``$3`` to below ``$8`` of each ``$7``.

    A share has rows of each block: so each wave writes into the room that the dead rows of the one before it left in
    the very same block, and touches no index (HOT). It runs ahead of the checkpoint, which the batch that ends the
    window moves: whatever a wave left out, or wrote twice in vain, that batch puts right.

    It rests whenever it has worked for ``$9`` microseconds (osc.sql.resting), not at all if that is 0.
    The server's own count of its rows is what it answers: rows that it returned, only to be counted, would cost 7 % of its time.
    What else there is to say ``ask_wave`` asks behind it, in its transaction.
    """
    me = page.me
    place = f"pg_catalog.get_byte(pg_catalog.tidsend({me}.ctid), 5)"
    share = f"({place} + ($7::integer - $3::integer)) % $7::integer < $8::integer - $3::integer"
    within = f"{keyset.after(page.place, me)}\n      AND {keyset.up_to(page.place, me)}"
    # The share first, for it costs less: so only rows of it are asked whether to rest.
    window = f"{within}\n      AND {share}\n      AND {rested('$9')}\n      AND EXISTS (SELECT FROM moved)"
    before = f"pg_catalog.pg_current_wal_insert_lsn(), {_counted(page, 'hot_updated')}, {_counted(page, 'updated')}"
    return f"""WITH moved AS (
    UPDATE osc.slice AS s
    SET seq = s.seq + 1, batches = s.batches + 1
    WHERE {FENCED} AND NOT s.finished
      AND {guarded(page, guard)}
      AND {NOT_PAUSED}
    RETURNING pg_catalog.set_config('{MOVED}', concat_ws(' ', {before}), true)
)
{_update(page, filled, window)}"""


def ask_wave() -> str:
    """Return the question behind a wave on the table ``$1``: one row of what it cost and how many of its updates were HOT (NULL
    where nobody counts). No row says that it did not come through its fence, and wrote nothing.
    """
    hot, updated = (f"pg_catalog.pg_stat_get_xact_tuples_{what}(told.relation)" for what in ("hot_updated", "updated"))
    return f"""SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp()) * 1000 AS ms,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), before[1]::pg_catalog.pg_lsn) AS wal_bytes,
       CASE WHEN {updated} > before[3]::bigint
            THEN {hot} - before[2]::bigint END AS hot
FROM (SELECT $1::pg_catalog.regclass AS relation,
             pg_catalog.string_to_array(nullif(pg_catalog.current_setting('{MOVED}', true), ''), ' ') AS before) AS told
WHERE before IS NOT NULL"""


def revisit(page: Page, filled: Sequence[Filled], *, guard: str = "true") -> str:
    """Return the statement that visits a window again, both ends included; its note goes when nothing was left any more.

    ``$7`` is the note, or 0 for a window that has none (a poison row, a row that verification sent back). With a note
    the rows that were named as poison are passed by: CASE, because AND promises no order and their ``up`` raises.
    """
    me, place = page.me, page.place
    window = f"{keyset.from_(place, me)}\n      AND {keyset.up_to(place, me)}\n      AND EXISTS (SELECT FROM moved)"
    needs_work = (
        f"CASE WHEN $7::bigint > 0 AND {_named(page, me)} THEN false\n           ELSE {_needs_work(filled, me)} END"
    )
    return f"""WITH moved AS (
    UPDATE osc.slice AS s
    SET seq = s.seq + 1, batches = s.batches + 1
    WHERE {FENCED}
      AND {guarded(page, guard)}
      AND {NOT_PAUSED}
    RETURNING s.change, s.step, s.slice
), {_locked_and_filled(page, filled, window, needs_work)},
gone AS (
    DELETE FROM osc.skipped AS k
    WHERE k.skipped = $7 AND EXISTS (SELECT FROM moved) AND (SELECT rows FROM missed) = 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM filled) AS filled, (SELECT rows FROM missed) AS skipped
FROM moved"""


def unfilled(page: Page, targets: Sequence[str]) -> str:
    """Return the query for the rows of a window in which a column is NULL, both ends included; evaluates no ``up``.

    Each has its place in the walk, and the key it is named by.
    """
    me, place = page.me, page.place
    empty = " OR ".join(f"{me}.{quote(target)} IS NULL" for target in targets)
    return (
        f"SELECT {keyset.as_cursor(place, me)} AS place, {keyset.as_cursor(page.key or place, me)} AS key\n"
        f"FROM ONLY {page.table.sql} AS {me}\n"
        f"WHERE {keyset.from_(place, me)} AND {keyset.up_to(place, me)} AND ({empty})\nORDER BY {keyset.order(place, me)}"
    )


def end(page: ByKey) -> str:
    """Return the query for the last key there is, as a cursor; no row for an empty table."""
    me = page.me
    return (
        f"SELECT {keyset.as_cursor(page.key, me)} AS cursor FROM ONLY {page.table.sql} AS {me}\n"
        f"ORDER BY {keyset.order(page.key, me, descending=True)} LIMIT 1"
    )


def end_of_blocks(table: QName) -> str:
    """Return the query for the end of the heap, as a cursor, and for the file that it is in."""
    relation = f"{literal(table.sql)}::pg_catalog.regclass"
    size = f"pg_catalog.pg_relation_size({relation}) / pg_catalog.current_setting('block_size')::bigint"
    return f"SELECT ARRAY[concat('(', {size}, ',0)')] AS cursor, {filenode(table)}::bigint AS filenode"


def move_slice(guard: str, and_also: str = "") -> str:
    """Return the one UPDATE of the slice row, which is fence, checkpoint and pause in one."""
    return f"""    UPDATE osc.slice AS s
    SET cursor = CASE WHEN edge.is_last THEN coalesce({keyset.HI}, edge.cursor, s.cursor) ELSE edge.cursor END,
        seq = s.seq + 1, batches = s.batches + 1, rows_seen = s.rows_seen + edge.rows,
        finished = edge.is_last AND {keyset.HI} IS NOT DISTINCT FROM s.hi
    FROM edge
    WHERE {FENCED} AND NOT s.finished
      AND {guard}
      AND {NOT_PAUSED}
    RETURNING s.change, s.step, s.slice, s.cursor, s.finished, edge.rows, edge.lsn{and_also}"""


def _hot_before(page: Page, filled: Sequence[Filled]) -> str:
    """Return the column of ``moved`` that says what was counted before: counts go on until the session reports them."""
    return "" if _keeps(filled) else f", {_counted(page, 'hot_updated')} AS hot, {_counted(page, 'updated')} AS updated"


def _hot(page: Page, filled: Sequence[Filled]) -> str:
    """Return the column that counts the HOT updates of the statement; none where values are kept.

    It stands behind the count of what was filled, which runs the update. NULL where nobody counts (track_counts = off).
    """
    if _keeps(filled):
        return ""
    return (
        f",\n       CASE WHEN {_counted(page, 'updated')} > moved.updated\n"
        f"            THEN {_counted(page, 'hot_updated')} - moved.hot END AS hot"
    )


def _counted(page: Page, what: str) -> str:
    return f"pg_catalog.pg_stat_get_xact_tuples_{what}({literal(page.table.sql)}::pg_catalog.regclass)"


def guarded(page: Page, guard: str) -> str:
    return " AND ".join(one for one in (guard, page.holds) if one != "true") or "true"


def _named(page: Page, me: str) -> str:
    """Return the condition that a row was named as poison. It reads the slice and not ``moved``, which the server could
    not ask again when it looks anew at a row that changed (EvalPlanQual runs no UPDATE).
    """
    return (
        "EXISTS (SELECT FROM osc.poison AS p JOIN osc.slice AS z ON z.change = p.change AND z.step = p.step\n"
        f"                 WHERE z.slice = $4 AND p.key = {keyset.as_cursor(page.key or page.place, me)})"
    )


def _window(page: Page) -> str:
    me = page.me
    return f"{keyset.after(page.place, me)}\n      AND {keyset.up_to_scalar(page.place, me, 'moved')}"


def _keeps(filled: Sequence[Filled]) -> bool:
    return any(one.keeps for one in filled)


def _rested_work(page: Page, filled: Sequence[Filled]) -> str:
    """Return the condition that a row needs work; on the way the statement rests, at rows that need none as well."""
    return rested(page.rests, _needs_work(filled, page.me))


def _filled(page: Page, filled: Sequence[Filled], window: str, needs_work: str = "") -> str:
    return f"""filled AS (
    {_update(page, filled, window, needs_work, margin="    ")}
    RETURNING 1
)"""


def _update(page: Page, filled: Sequence[Filled], window: str, needs_work: str = "", *, margin: str = "") -> str:
    return f"""UPDATE ONLY {page.table.sql} AS {page.me}
{margin}SET {_assignments(filled)}
{margin}WHERE {window}
      AND {needs_work or _needs_work(filled, page.me)}"""


def _locked_and_filled(page: Page, filled: Sequence[Filled], window: str, needs_work: str = "") -> str:
    me = page.me
    needs_work = needs_work or _needs_work(filled, me)
    keys = ", ".join(f"osc_key_{n}" for n in range(1, len(page.place) + 1))
    row = keyset.columns(page.place, me)
    if _keeps(filled):
        first = _locked_and_kept(page, filled, window, needs_work, skip=True)
    else:
        first = f"""{_locked(page, window, needs_work, skip=True)}, filled AS (
    UPDATE ONLY {page.table.sql} AS {me}
    SET {_assignments(filled)}
    WHERE ({row}) IN (SELECT {keys} FROM locked)
      AND {needs_work}
    RETURNING 1
)"""
    return f"""{first}, missed AS (
    SELECT count(*) AS rows FROM ONLY {page.table.sql} AS {me}
    WHERE {window}
      AND {needs_work}
      AND ({row}) NOT IN (SELECT {keys} FROM locked)
)"""


def _locked(page: Page, window: str, needs_work: str, *, skip: bool, and_also: str = "") -> str:
    me = page.me
    names = ", ".join(f"{me}.{quote(column.name)} AS osc_key_{n}" for n, column in enumerate(page.place, 1))
    return f"""locked AS MATERIALIZED (
    SELECT {names}{and_also} FROM ONLY {page.table.sql} AS {me}
    WHERE {window}
      AND {needs_work}
    {"FOR NO KEY UPDATE SKIP LOCKED" if skip else "FOR NO KEY UPDATE"}
)"""


def _locked_and_kept(
    page: Page, filled: Sequence[Filled], window: str, needs_work: str = "", *, skip: bool = False
) -> str:
    """Lock, fill and keep: the row's key and what was written go into osc.kept in this very statement."""
    me, key = page.me, page.key
    needs_work = needs_work or _needs_work(filled, me)
    same_row = " AND ".join(f"{me}.{quote(column.name)} = osc_locked.osc_key_{n}" for n, column in enumerate(key, 1))
    return f"""{_locked(page, window, needs_work, skip=skip, and_also=keeping.empty(filled, me))}, filled AS (
    UPDATE ONLY {page.table.sql} AS {me}
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
