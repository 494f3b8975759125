"""The table of outcomes: what an error says about the work, by SQLSTATE, by what was running, by the session's fate."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.errors import LeaseLost, OutcomeUnknown, Unreachable
from osc.pg.outcome import BY_SQLSTATE, During, Outcome, ReplyLost, assertion_of, classify, sqlstate_of

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect

ALL: tuple[During, ...] = ("read", "transaction", "commit", "non_transactional")


def error(sqlstate: str, message: str = "") -> psycopg.Error:
    """Return what psycopg raises for an error that the server reported on a living session."""
    try:
        made = psycopg.errors.lookup(sqlstate)(message)
    except KeyError:
        made = psycopg.DatabaseError(message)
        made.sqlstate = sqlstate
    return made


@pytest.mark.parametrize("during", ALL)
@pytest.mark.parametrize(
    ("sqlstate", "outcome"),
    [
        ("40001", Outcome.TRANSIENT),
        ("40P01", Outcome.LOCK_NOT_AVAILABLE),
        ("55P03", Outcome.LOCK_NOT_AVAILABLE),
        ("57014", Outcome.CANCELLED),
        ("25006", Outcome.UNREACHABLE),
        ("53300", Outcome.UNREACHABLE),
        ("57P03", Outcome.UNREACHABLE),
        ("53100", Outcome.DEFINITIVE),
        ("42501", Outcome.DEFINITIVE),
        ("22012", Outcome.DEFINITIVE),
        ("23505", Outcome.DEFINITIVE),
        ("25001", Outcome.DEFINITIVE),
        ("XX000", Outcome.DEFINITIVE),
        ("XX001", Outcome.DEFINITIVE),
        ("ZZ999", Outcome.DEFINITIVE),
        ("08007", Outcome.AMBIGUOUS),
        ("40003", Outcome.AMBIGUOUS),
        ("OSC01", Outcome.FENCED),
        ("OSC02", Outcome.PAUSED),
        ("OSC03", Outcome.ASSERTED),
    ],
)
def test_an_error_on_a_living_session_tells_by_its_code(sqlstate: str, outcome: Outcome, during: During) -> None:
    assert classify(error(sqlstate), during=during) is outcome


@pytest.mark.parametrize(
    "ended",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        ReplyLost("no reply"),
        ConnectionResetError(),
        TimeoutError(),
        asyncio.CancelledError(),
        *(error(code) for code in ("57P01", "57P02", "57P05", "25P03", "25P04", "08006", "08003")),
    ],
    ids=repr,
)
def test_a_lost_session_leaves_the_outcome_open_unless_it_was_a_read(ended: BaseException) -> None:
    assert classify(ended, during="read") is Outcome.TRANSIENT
    for during in ALL[1:]:
        assert classify(ended, during=during) is Outcome.AMBIGUOUS


def test_our_own_errors_and_mistakes() -> None:
    assert classify(Unreachable("x"), during="commit") is Outcome.UNREACHABLE
    assert classify(LeaseLost("x"), during="commit") is Outcome.FENCED
    assert classify(OutcomeUnknown("x"), during="commit") is Outcome.AMBIGUOUS
    assert classify(psycopg.ProgrammingError("no such placeholder"), during="commit") is Outcome.DEFINITIVE
    assert classify(TypeError("a bug"), during="commit") is Outcome.DEFINITIVE


def test_two_ddl_statements_on_one_catalog_row_are_tried_again() -> None:
    assert classify(error("XX000", "tuple concurrently updated"), during="transaction") is Outcome.TRANSIENT


def test_every_code_is_well_formed_and_known_to_postgresql_or_ours() -> None:
    for sqlstate in BY_SQLSTATE:
        assert re.fullmatch(r"[0-9A-Z]{5}", sqlstate)
        assert sqlstate.startswith("OSC") or psycopg.errors.lookup(sqlstate)


def test_a_terminated_backend_is_a_lost_session(connect: Connect) -> None:
    victim, other = connect(), connect()
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [victim.info.backend_pid])
    with pytest.raises(psycopg.Error) as ended:
        victim.execute("SELECT 1")
    assert classify(ended.value, during="commit") is Outcome.AMBIGUOUS


def test_codes_of_our_own_arrive_with_message_and_hint(connect: Connect) -> None:
    raising = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'OSC03', MESSAGE = 'no', HINT = 'do'; END $$"
    with pytest.raises(psycopg.Error) as refused:
        connect().execute(raising)
    assert sqlstate_of(refused.value) == "OSC03"
    assert classify(refused.value, during="transaction") is Outcome.ASSERTED
    assert assertion_of(refused.value) == ("no", "do")
