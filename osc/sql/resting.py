"""Rests inside a statement: it works for a while and sleeps for a millisecond, again and again, wherever it is."""

from __future__ import annotations

REST_S = 0.0009
"""What pg_sleep is told to sleep for a millisecond: it rounds up to whole ones, of which 0.001 makes two."""
REST_US = 1060
"""How long it sleeps then, as measured."""


_EPOCH = "timestamptz '2000-01-01 00:00:00+00'"


def rested(work: str, condition: str = "true") -> str:
    """Return ``condition``, on whose way the statement sleeps whenever it has worked for ``work`` microseconds; never if it is 0.

    The clock is asked at each row (50 ns), and divides the time of the statement into turns of work and rest: so it
    needs not know what a row costs, and keeps nothing in mind. The server leaves all of it out of a plan where it knows
    that ``work`` is 0.
    """
    turn = f"({work}::integer + {REST_US})"
    passed = f"pg_catalog.clock_timestamp() - {_EPOCH}"
    in_turn = f"pg_catalog.date_part('microseconds', {passed})::bigint % {turn}"
    rest = (
        f"CASE WHEN {work}::integer > 0 AND {in_turn} >= {work}::integer\n"
        f"           THEN pg_catalog.pg_sleep({REST_S}) IS NOT NULL ELSE true END"
    )
    return f"CASE WHEN {rest}\n           THEN {condition} ELSE false END" if condition != "true" else rest
