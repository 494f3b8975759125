"""Rests inside a statement: it works for a while and sleeps for a part of a millisecond, again and again, wherever it is.

pg_sleep cannot sleep for less than a millisecond. But it ends when a timer of the session fires, and the one that looks
whether the client is still there (client_connection_check_interval, which any role may set) fires each millisecond, if
told so. So a turn of work and rest takes a millisecond together: who works longer rests less.
"""

from __future__ import annotations

TURN_US = 1035
"""A turn of work and rest: a millisecond, and what it takes to wake up (measured; PostgreSQL 16 and 18)."""
ONE_TURN = "SET client_connection_check_interval = 1"
"""Makes the turns of a session a millisecond. Without it each rest takes a whole one."""
RESTED = "osc.rested"
"""The setting of the session that says when it has rested last, in seconds of the epoch: so turns go on from statement to statement."""
WORK = "osc.work_us"
"""The setting of a session after how many microseconds of work statements rest that are not told so by a parameter."""
BY_SETTING = f"(SELECT coalesce(nullif(pg_catalog.current_setting('{WORK}', true), ''), '0')::integer)"
"""Its value, read once a statement; 0 where nobody has set it."""
_SLEEP_S = 0.00005
"""Less than any rest, so that the timer ends it, and longer than it takes to find that the timer has fired before."""


def rested(work: str, condition: str = "true") -> str:
    """Return ``condition``, on whose way the statement rests whenever it has worked for ``work`` microseconds; never if it is 0.

    The clock is asked at each row (0.1 us), so nobody need know what a row costs. The server leaves all of it out of a plan
    where it knows that ``work`` is 0.
    """
    now = "pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())"
    last = f"coalesce(nullif(pg_catalog.current_setting('{RESTED}', true), ''), '0')::float8"
    rest = (
        f"CASE WHEN {work}::integer > 0 AND abs({now} - {last}) * 1000000 >= {work}::integer\n"
        f"           THEN pg_catalog.pg_sleep({_SLEEP_S}) IS NOT NULL\n"
        f"                AND pg_catalog.set_config('{RESTED}', {now}::text, false) IS NOT NULL ELSE true END"
    )
    return f"CASE WHEN {rest}\n           THEN {condition} ELSE false END" if condition != "true" else rest
