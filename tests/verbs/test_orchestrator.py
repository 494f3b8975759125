"""The facade: every verb is a method, a timeout keeps what was done, and only errors of osc come out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest

from osc.errors import Failed, Refused, TryAgainLater, Unreachable
from osc.verbs.deadline import within
from osc.verbs.orchestrator import Orchestrator
from osc.verbs.recalled import recalled

if TYPE_CHECKING:
    from osc.verbs.session import Session
    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio

VERBS = {
    "new", "lint", "explain", "schema", "apply", "advance", "wait", "ack", "adopt", "rollback", "verify", "status",
    "watch", "pause", "resume", "set", "resolve", "history", "worker",
}  # fmt: skip


def test_every_verb_is_a_method() -> None:
    methods = {name for name, _ in inspect.getmembers(Orchestrator, inspect.isfunction) if not name.startswith("_")}
    assert methods == VERBS


async def test_a_timeout_is_try_again_later() -> None:
    with pytest.raises(TryAgainLater, match=r"it was not finished after 0\.05 s; everything done so far is kept"):
        await within(anyio.sleep(10), timeout_s=0.05, subject="it")


async def test_a_timeout_of_the_work_itself_is_not_ours() -> None:
    async def work() -> None:
        raise TimeoutError("somebody else's")

    with pytest.raises(TimeoutError):
        await within(work(), timeout_s=10, subject="it")


async def test_a_role_without_rights_is_told_what_it_needs(session: Session, connect: Connect) -> None:
    async def work() -> None:
        raise psycopg.errors.InsufficientPrivilege("permission denied for schema osc")

    with pytest.raises(Failed) as told:
        await within(work(), timeout_s=None, subject="status")
    assert "USAGE on schema osc" in told.value.hint


async def test_a_lost_connection_is_unreachable() -> None:
    async def work() -> None:
        raise psycopg.OperationalError("server closed; password=canary")

    with pytest.raises(Unreachable) as told:
        await within(work(), timeout_s=None, subject="status")
    assert "canary" not in str(told.value.as_json())


def test_an_error_comes_back_as_it_was_kept() -> None:
    kept = Refused("no", hint="mend", facts={"rows": 3})
    kept.code = "S220"  # type: ignore[misc]
    back = recalled(kept.as_json())
    assert (type(back), back.as_json()) == (Refused, kept.as_json())


def test_a_problem_of_a_later_osc_is_still_told() -> None:
    assert recalled({"message": "odd", "exit_code": 99, "news": 1}).message == "odd"
