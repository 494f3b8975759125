"""What is said of rows that cannot be filled: named by key, or noted by their window, in the statement that passes them."""

from __future__ import annotations

from osc.sql import keyset
from osc.sql.batch import guarded, move_slice
from osc.sql.pages import ByKey, Page

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


def pass_over(page: ByKey, *, guard: str = "true") -> str:
    """Return the statement that moves the cursor over one poison row and names it; nothing else is touched.

    ``$7`` is the SQLSTATE, ``$8`` the message.
    """
    return f"""WITH {page.edge()},
moved AS (
{move_slice(guarded(page, guard))}
), {NAME_PASSED}
SELECT moved.cursor, moved.finished, moved.rows, 0::bigint AS filled, 0::bigint AS skipped
FROM moved"""


def note_and_move(page: Page, *, guard: str = "true") -> str:
    """Return the statement that moves the cursor over a window and notes it for another visit; no row is touched."""
    return f"""WITH {page.edge()},
moved AS (
{move_slice(guarded(page, guard))}
), noted AS (
    INSERT INTO osc.skipped (change, step, slice, lo, hi, rows)
    SELECT moved.change, moved.step, moved.slice, {keyset.LO}, moved.cursor, moved.rows
    FROM moved
    WHERE moved.rows > 0
    RETURNING rows
)
SELECT moved.cursor, moved.finished, moved.rows, 0::bigint AS filled, coalesce((SELECT rows FROM noted), 0) AS skipped
FROM moved"""
