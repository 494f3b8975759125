"""The numbers of the lock gate: how long an attempt may take, how it grows, and the budget of a table (I10, I11)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osc.names import QName
from osc.pg.lock_limits import Limits, LockBudget, limits, pause_s
from osc.settings import DEFAULTS
from osc.sql.locks import Lock, TableLock

USERS, ORDERS = QName("public", "users"), QName("public", "orders")
ONE = [TableLock(table=USERS, mode=Lock.ACCESS_EXCLUSIVE)]
TWO = [*ONE, TableLock(table=ORDERS, mode=Lock.SHARE_ROW_EXCLUSIVE)]


def of(locks: list[TableLock], attempt: int = 0, *, deadlock: int = 1_000, autovacuum: bool = False) -> Limits:
    return limits(DEFAULTS, locks, attempt=attempt, deadlock_timeout_ms=deadlock, autovacuum=autovacuum, jitter=1.0)


def test_the_lock_timeout_grows_by_half_to_half_of_deadlock_timeout() -> None:
    assert [of(ONE, n).lock_timeout_ms for n in range(6)] == [100, 150, 225, 338, 500, 500]
    assert of(ONE, 99, deadlock=300).lock_timeout_ms == 150


def test_a_long_deadlock_timeout_does_not_let_the_application_wait_longer() -> None:
    assert of(ONE, 99, deadlock=60_000).lock_timeout_ms == DEFAULTS.lock_timeout_max_ms


@given(st.integers(0, 50), st.integers(10, 60_000), st.floats(0, 1), st.booleans())
def test_several_strong_locks_end_within_half_of_deadlock_timeout(
    attempt: int, deadlock: int, jitter: float, autovacuum: bool
) -> None:
    found = limits(DEFAULTS, TWO, attempt=attempt, deadlock_timeout_ms=deadlock, autovacuum=autovacuum, jitter=jitter)
    assert found.strong_ms <= deadlock / 2
    assert 1 <= found.lock_timeout_ms <= max(1, deadlock / 2)
    assert found.statement_timeout_ms == found.strong_ms + 2 * (found.yield_first_ms or 0)


def test_autovacuum_is_waited_for_longer_than_it_takes_to_give_way() -> None:
    assert of(ONE).yield_first_ms is None
    assert of(ONE, autovacuum=True).yield_first_ms == 1_500


@pytest.mark.parametrize(("attempt", "least", "most"), [(0, 0.1, 0.3), (3, 0.8, 2.4), (40, 7.5, 15.0)])
def test_pauses_double_up_to_a_bound(attempt: int, least: float, most: float) -> None:
    for jitter in (0.0, 0.5, 1.0):
        assert least <= pause_s(attempt, first_s=0.2, max_s=15.0, jitter=jitter) <= most + 1e-9


def test_a_spent_budget_is_waited_for_until_the_window_frees_it() -> None:
    budget = LockBudget(budget_ms=3_000, window_s=60)
    budget.spend([USERS], spent_ms=1_000, now_s=10)
    budget.spend([USERS], spent_ms=1_500, now_s=20)
    assert budget.wait_s([USERS], need_ms=500, now_s=21) == 0
    assert budget.wait_s([USERS], need_ms=600, now_s=21) == pytest.approx(49)
    assert budget.wait_s([USERS, ORDERS], need_ms=1_600, now_s=21) == pytest.approx(59)
    assert budget.wait_s([ORDERS], need_ms=3_000, now_s=21) == 0
    assert budget.wait_s([USERS], need_ms=600, now_s=71) == 0


def test_an_attempt_larger_than_the_budget_waits_for_an_empty_window() -> None:
    budget = LockBudget(budget_ms=100, window_s=60)
    assert budget.wait_s([USERS], need_ms=500, now_s=0) == 0
    budget.spend([USERS], spent_ms=1, now_s=0)
    assert budget.wait_s([USERS], need_ms=500, now_s=1) == pytest.approx(59)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), max_size=60))
def test_no_window_ever_sees_more_than_the_budget(attempts: list[tuple[float, float]]) -> None:
    """Whatever pauses and attempts come, waiting as told keeps the sum of every window within the budget."""
    settings = replace(DEFAULTS, lock_budget_ms=3_000)
    budget, now, spent = LockBudget(budget_ms=settings.lock_budget_ms, window_s=60), 0.0, []
    for pause, share in attempts:
        now += pause
        now += budget.wait_s([USERS], need_ms=1_500, now_s=now) + 1e-6
        now += 1.5 * share
        budget.spend([USERS], spent_ms=1_500 * share, now_s=now)
        spent.append((now, 1_500 * share))
        assert sum(ms for ended, ms in spent if ended > now - 60) <= settings.lock_budget_ms + 1e-6
