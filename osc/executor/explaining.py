"""From an error of the server to ours: who must act, what is true now, what to do; and which errors mend themselves."""

from __future__ import annotations

import psycopg

from osc.errors import Failed, LeaseLost, NotPrimary, OscError, Refused, StepFailed, Unreachable
from osc.pg.outcome import (
    Outcome,
    assertion_of,
    classify,
    detail_without_rows,
    quoted_of,
    sqlstate_of,
    without_values,
)
from osc.pg.privileges import missing_grant

_ANEW = frozenset(
    {Outcome.AMBIGUOUS, Outcome.UNREACHABLE, Outcome.TRANSIENT, Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED}
)


def mends_itself(error: BaseException) -> bool:
    """Return whether taking the lead anew and reading the journal again is the answer to ``error``.

    So it is where a session ended, a reply was lost, the server is away for a moment, or an exchange with the journal
    was cancelled: the rows tell what is done, and the new epoch ends what may still run (I18).
    """
    if isinstance(error, Unreachable | NotPrimary | OSError):  # a failover shows a standby for a moment (F24)
        return True
    return isinstance(error, psycopg.Error) and classify(error, during="transaction") in _ANEW


def trying_again(error: BaseException) -> str:
    """Return what to tell whoever watches, while the same is tried again."""
    return f"{last_words(error)}; trying again"


def last_words(error: BaseException) -> str:
    """Return what ``error`` says, without a word on what was changed: more than this one try may have been made."""
    return error.message.removesuffix("; nothing was changed") if isinstance(error, OscError) else said(error)


def explain(what: str, error: psycopg.Error, left: str = "the step changed nothing") -> OscError:
    """Return our error for one of the server's that ended a step; ``left`` says what is true of the step now."""
    outcome = classify(error, during="transaction")
    if outcome is Outcome.FENCED:
        return LeaseLost("another executor leads this change now; this one stopped and wrote nothing more")
    if outcome is Outcome.ASSERTED:
        message, hint = assertion_of(error)
        return Refused(f"{message}; the step changed nothing", hint=hint)
    sqlstate = sqlstate_of(error) or ""
    facts = {"sqlstate": sqlstate, "detail": detail_without_rows(error), "hint": error.diag.message_hint or ""}
    hint = error.diag.message_hint or _remedy_of(error)
    if sqlstate.startswith("23"):
        return Refused(
            f"{what}: the data does not allow it: {said(error)}; {left}",
            hint=detail_without_rows(error) or hint,
            facts=facts,
            quoted=quoted_of(error),
        )
    return StepFailed(f"{what}: {said(error)} ({sqlstate}); {left}", hint=hint, facts=facts, quoted=quoted_of(error))


def unexpected(error: BaseException) -> OscError:
    """Return our error for one of the server's outside of any step."""
    sqlstate = sqlstate_of(error)
    return Failed(
        f"the server said: {said(error)}; what was begun is rolled back",
        hint=_remedy_of(error) if sqlstate == "42501" else "mend the cause and run the same command again",
        facts={"sqlstate": sqlstate},
        quoted=quoted_of(error),
    )


def said(error: BaseException) -> str:
    """Return the server's own sentence."""
    primary = without_values(error) if isinstance(error, psycopg.Error) else None
    return primary or (str(error).splitlines() or [type(error).__name__])[0]


def _remedy_of(error: BaseException) -> str:
    """Return what to do about ``error``: the grant that is missing, if the server's words tell it."""
    sqlstate = sqlstate_of(error) or ""
    grant = missing_grant(said(error)) if sqlstate == "42501" else None
    return f"{grant}, then osc advance" if grant else _remedy(sqlstate)


def _remedy(sqlstate: str) -> str:
    remedies = {
        "42501": "grant what is missing, then osc advance",
        "53100": "make room on the server's disk, then osc advance",
        "57014": "somebody cancelled it again and again, or it ran into a timeout; osc advance tries again",
    }
    return remedies.get(sqlstate, "mend the cause, then osc advance; osc rollback takes the change back")
