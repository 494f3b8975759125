"""The end of a command: its ``--timeout``, and an error of the server that nobody expected, told as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import psycopg

from osc.errors import Failed, Finding, OscError, Refused, TryAgainLater, Unreachable
from osc.pg.outcome import quoted_of, session_ended, without_values
from osc.pg.privileges import missing_grant

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")
UNTRANSLATABLE = "22P05"
"""What was sent holds a letter that the database's encoding has not; the statement was not even parsed."""


async def within(work: Awaitable[T], *, timeout_s: float | None, subject: str) -> T:
    """Await ``work``; after ``timeout_s`` cancel it, which keeps its checkpoint, and raise TryAgainLater.

    ``subject`` names what was worked on. Errors of the driver become Unreachable or Failed.
    """
    with anyio.move_on_after(timeout_s) as scope:
        try:
            return await work
        except psycopg.Error as error:
            if not scope.cancel_called:  # else it is the end of what was cut off
                raise told(error) from error
    raise TryAgainLater(
        f"{subject} was not finished after {timeout_s:g} s; everything done so far is kept",
        hint="run the same command again to go on, or osc status to see what it waits for",
        facts={"timeout_s": timeout_s},
    )


def told(error: psycopg.Error) -> OscError:
    """Return our error for one of the driver's; the server's own words are shown, the driver's are not (B59)."""
    if session_ended(error):
        return Unreachable(
            "the connection to the server was lost; what was begun is rolled back or can go on",
            hint="run the same command again",
        )
    said = without_values(error) or type(error).__name__
    if error.sqlstate == "42501":
        return Failed(
            f"the server refuses: {said}",
            hint=missing_grant(said)
            or "the role needs USAGE on schema osc and rights on its tables; "
            "ask as the role that ran osc apply, or have them granted",
            facts={"sqlstate": "42501"},
        )
    if error.sqlstate == UNTRANSLATABLE:
        hint = "write names, titles and SQL with the letters that this database's encoding has"
        message = f"the server refuses: {said}"
        return Refused(message, hint=hint, findings=[Finding("C106", message, hint)])
    return Failed(
        f"the server said: {said} ({error.sqlstate})",
        hint="mend the cause and run the same command again",
        facts={"sqlstate": error.sqlstate},
        quoted=quoted_of(error),
    )
