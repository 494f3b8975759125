"""Retries: bounded, slower each time, only of what time mends, and by the injected clock."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from osc.clock import VirtualClock
from osc.errors import Unreachable
from osc.pg.retry import CONNECTING, retrying
from osc.settings import DEFAULTS

SETTINGS = replace(DEFAULTS, transient_attempts_max=5)


class Work:
    """Fails with each error in turn, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.mark.anyio
async def test_transient_errors_are_tried_again_after_a_pause() -> None:
    clock = VirtualClock()
    work = Work(psycopg.errors.SerializationFailure(), psycopg.OperationalError("gone"))
    assert await retrying(settings=SETTINGS, clock=clock, during="read")(work) == 3
    assert 0 < clock.now < 2 * SETTINGS.transient_pause_max_s


@pytest.mark.anyio
async def test_attempts_are_bounded_and_the_last_error_is_raised_as_it_is() -> None:
    work = Work(*[psycopg.errors.SerializationFailure() for _ in range(99)])
    with pytest.raises(psycopg.errors.SerializationFailure):
        await retrying(settings=SETTINGS, clock=VirtualClock(), during="transaction")(work)
    assert work.calls == 5


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error", [psycopg.errors.UniqueViolation(), psycopg.OperationalError("gone"), Unreachable("down")], ids=repr
)
async def test_what_is_definitive_ambiguous_or_unreachable_is_not_repeated(error: Exception) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        await retrying(settings=SETTINGS, clock=VirtualClock(), during="commit")(work)
    assert work.calls == 1


@pytest.mark.anyio
async def test_work_that_connects_itself_is_patient_with_an_unreachable_server() -> None:
    work = Work(Unreachable("down"))
    loop = retrying(settings=SETTINGS, clock=VirtualClock(), during="commit", outcomes=CONNECTING)
    assert await loop(work) == 2
