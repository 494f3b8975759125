"""What an error says about the work: was it done, may it be tried again, or must somebody find out.

Apart from what runs the work, because it is a table and a pure function of it (design.md section 4, "Lost replies").
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

import psycopg

from osc.errors import LeaseLost, OutcomeUnknown, Unreachable
from osc.redaction import HELD_BACK, Quoted

During = Literal["read", "transaction", "commit", "non_transactional"]
"""What was running: a read; a whole transaction sent as one message, its commit inside; a COMMIT; or a statement
that commits by itself on its way (CREATE INDEX CONCURRENTLY and its like)."""


class Outcome(StrEnum):
    """What is known of the work, and so what to do next. Only ``AMBIGUOUS`` may have been done."""

    TRANSIENT = "transient"
    """Not done; the same again may work in a moment."""
    LOCK_NOT_AVAILABLE = "lock_not_available"
    """Not done: a lock was not had in time, or a deadlock was broken at our cost."""
    CANCELLED = "cancelled"
    """Not done: a timeout of ours, or somebody cancelled it. Read the state again before repeating."""
    FENCED = "fenced"
    """Not done: another executor leads now."""
    PAUSED = "paused"
    """Not done: the change is paused."""
    ASSERTED = "asserted"
    """Not done: a condition of the step does not hold; ``assertion_of`` tells which."""
    DEFINITIVE = "definitive"
    """Not done, and repeating alone will not help."""
    UNREACHABLE = "unreachable"
    """Not done: there is no usable session; connect again, to the primary, with patience."""
    AMBIGUOUS = "ambiguous"
    """The reply was lost: read the row written in the same transaction, or the catalog, to find out."""


class ReplyLost(psycopg.OperationalError):
    """The client-side deadline of an await ran out; the connection was closed, the outcome is not known."""


FENCED, PAUSED, ASSERTED = "OSC01", "OSC02", "OSC03"
"""SQLSTATEs that osc's own statements raise; no class of the standard or of PostgreSQL begins with OSC."""

BY_SQLSTATE: dict[str, Outcome] = {
    FENCED: Outcome.FENCED,
    PAUSED: Outcome.PAUSED,
    ASSERTED: Outcome.ASSERTED,
    "40001": Outcome.TRANSIENT,  # serialization_failure
    "40P01": Outcome.LOCK_NOT_AVAILABLE,  # deadlock_detected
    "55P03": Outcome.LOCK_NOT_AVAILABLE,  # lock_not_available
    "57014": Outcome.CANCELLED,  # query_canceled: statement_timeout or pg_cancel_backend
    "40003": Outcome.AMBIGUOUS,  # statement_completion_unknown
    "08007": Outcome.AMBIGUOUS,  # transaction_resolution_unknown
    "25006": Outcome.UNREACHABLE,  # read_only_sql_transaction: a standby now, or made read-only (F24)
    "53300": Outcome.UNREACHABLE,  # too_many_connections
    "57P03": Outcome.UNREACHABLE,  # cannot_connect_now: starting up, shutting down
    "53200": Outcome.TRANSIENT,  # out_of_memory
    "72000": Outcome.TRANSIENT,  # snapshot_too_old
    "53000": Outcome.DEFINITIVE,  # insufficient_resources
    "53100": Outcome.DEFINITIVE,  # disk_full: repeating would keep the disk full
    "53400": Outcome.DEFINITIVE,  # configuration_limit_exceeded
    "25001": Outcome.DEFINITIVE,  # active_sql_transaction
    "25P02": Outcome.DEFINITIVE,  # in_failed_sql_transaction
    "0A000": Outcome.DEFINITIVE,  # feature_not_supported, cached plan must not change result type
    "42501": Outcome.DEFINITIVE,  # insufficient_privilege
    "42P01": Outcome.DEFINITIVE,  # undefined_table
    "42703": Outcome.DEFINITIVE,  # undefined_column
    "42P07": Outcome.DEFINITIVE,  # duplicate_table
    "42701": Outcome.DEFINITIVE,  # duplicate_column
    "42710": Outcome.DEFINITIVE,  # duplicate_object
    "2BP01": Outcome.DEFINITIVE,  # dependent_objects_still_exist
    "3D000": Outcome.DEFINITIVE,  # invalid_catalog_name
    "55000": Outcome.DEFINITIVE,  # object_not_in_prerequisite_state
    "55006": Outcome.DEFINITIVE,  # object_in_use: pending trigger events, our own open cursor
    "P0001": Outcome.DEFINITIVE,  # raise_exception of the application's own code
    "XX001": Outcome.DEFINITIVE,  # data_corrupted
    "XX002": Outcome.DEFINITIVE,  # index_corrupted
}
BY_CLASS: dict[str, Outcome] = {
    "22": Outcome.DEFINITIVE,  # data exception
    "23": Outcome.DEFINITIVE,  # integrity constraint violation
    "28": Outcome.DEFINITIVE,  # invalid authorization
    "42": Outcome.DEFINITIVE,  # syntax error or access rule violation
    "44": Outcome.DEFINITIVE,  # WITH CHECK OPTION violation
    "54": Outcome.DEFINITIVE,  # program limit exceeded
    "58": Outcome.DEFINITIVE,  # system error, such as an I/O error
    "XX": Outcome.DEFINITIVE,  # internal error
}
"""Codes that are not listed one by one; a code in neither table is definitive."""

SESSION_ENDED = frozenset({"57P01", "57P02", "57P04", "57P05", "25P03", "25P04"})
"""The server ended the session. 57P01 may come after a local commit that waited for a standby, so it proves nothing."""


_QUOTED = re.compile(r'".*"', re.DOTALL)
"""From the first mark to the last: a value may hold marks itself."""


def classify(error: BaseException, *, during: During) -> Outcome:
    """Return what ``error`` says about the work that was going on.

    An error that the server reported on a session that lives on means that the work was rolled back. Where the
    session ended too, a read was simply not done; of anything else it is not known whether its commit happened.
    """
    if isinstance(error, LeaseLost):
        return Outcome.FENCED
    if isinstance(error, Unreachable):
        return Outcome.UNREACHABLE  # raised by connect alone: no work had been sent
    if isinstance(error, OutcomeUnknown):
        return Outcome.AMBIGUOUS
    if session_ended(error):
        return Outcome.TRANSIENT if during == "read" else Outcome.AMBIGUOUS
    sqlstate = sqlstate_of(error) or ""
    if sqlstate == "XX000" and str(error).startswith("tuple concurrently "):
        return Outcome.TRANSIENT  # two sessions changed the same catalog row; elog text, never translated
    return BY_SQLSTATE.get(sqlstate) or BY_CLASS.get(sqlstate[:2]) or Outcome.DEFINITIVE


def session_ended(error: BaseException) -> bool:
    """Tell whether ``error`` means that the session is gone or the reply was lost."""
    if not isinstance(error, psycopg.Error):
        # A cancelled await leaves the statement's end unread just as a broken line does.
        return isinstance(error, OSError | EOFError) or not isinstance(error, Exception)
    sqlstate = sqlstate_of(error)
    if sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if sqlstate in BY_SQLSTATE:
        return error.diag.severity_nonlocalized in ("FATAL", "PANIC") and sqlstate not in ("53300", "57P03")
    fatal = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
    return fatal or sqlstate.startswith("08") or sqlstate in SESSION_ENDED


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of ``error``, or None where the server sent none."""
    if not isinstance(error, psycopg.Error):
        return None
    return error.sqlstate or error.diag.sqlstate


def without_values(error: psycopg.Error) -> str:
    """Return the server's own sentence, without the value that it quotes where it could not read or convert one.

    A value of a row is the application's; it belongs in no log and no state (I25). Sentences of other classes quote names, and
    those of a function of the application say what that function wants said.
    """
    said = error.diag.message_primary or ""
    return _QUOTED.sub('"…"', said) if (sqlstate_of(error) or "").startswith("22") else said


def detail_without_rows(error: psycopg.Error) -> str:
    """Return the server's detail, but none that shows a whole row or the value that could not be converted."""
    detail = error.diag.message_detail or ""
    return "" if detail.startswith("Failing row") or (sqlstate_of(error) or "").startswith("22") else detail


def quoted_of(error: BaseException) -> list[Quoted]:
    """Return which of the words of ``without_values`` and ``detail_without_rows`` may come from rows all the same.

    Those of a detail name a key, and those of a function of the application say what it wants said, values included.
    """
    if not isinstance(error, psycopg.Error):
        return []
    said, detail, sqlstate = without_values(error), detail_without_rows(error), sqlstate_of(error) or ""
    servers_own = sqlstate in BY_SQLSTATE or sqlstate[:2] in BY_CLASS
    of_a_function = sqlstate[:2] in ("22", "P0") or (sqlstate[:2] == "23" and not error.diag.table_name)
    words = [said] if said and (of_a_function or not servers_own) else []
    if detail and sqlstate[:2] in ("22", "23", "P0"):
        words.append(detail)
    hint = error.diag.message_hint
    return [Quoted(one, f"({HELD_BACK})") for one in [*words, *([hint] if hint and words else [])]]


def assertion_of(error: psycopg.Error) -> tuple[str, str]:
    """Return message and hint of a step's assertion that did not hold (OSC03)."""
    return error.diag.message_primary or str(error), error.diag.message_hint or ""
