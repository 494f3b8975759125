"""How long an attempt at a strong lock may take, and how often: pure numbers, apart from the gate that keeps them.

Sources: rationale.md 11 and 12 for the ends of transactions, reliability.md I10 and I11 for what the application
may feel of it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from osc.settings import Settings
    from osc.sql.locks import TableLock


@dataclass(frozen=True, slots=True)
class Limits:
    """The timeouts of one attempt."""

    lock_timeout_ms: int
    yield_first_ms: int | None
    """How long to queue in SHARE UPDATE EXCLUSIVE for autovacuum to give way; None: do not."""
    strong_ms: int
    """The longest that the strong part can be queued or held."""
    statement_timeout_ms: int


def limits(
    settings: Settings,
    locks: Sequence[TableLock],
    *,
    attempt: int,
    deadlock_timeout_ms: int,
    autovacuum: bool,
    jitter: float,
) -> Limits:
    """Return the limits of attempt number ``attempt`` (from 0); ``jitter`` is between 0 and 1.

    The lock_timeout grows to at most half of deadlock_timeout. With several strong locks the whole transaction ends
    by then, so that the application's own deadlock check never finds us holding what it waits for; the locks share
    that time so that something is left for the statements.
    """
    half_ms = max(2, deadlock_timeout_ms // 2)
    grown_ms = settings.lock_timeout_first_ms * settings.lock_timeout_factor ** min(attempt, 64)
    lock_ms = min(grown_ms, settings.lock_timeout_max_ms, half_ms) * (0.75 + 0.25 * jitter)
    # Of a partitioned table one statement takes as many as it has partitions.
    strong_count = sum((2 if lock.leaves else 1) for lock in locks if lock.mode.strong)
    if strong_count > 1:
        strong_ms = min(half_ms, settings.lock_timeout_max_ms + settings.strong_hold_max_ms)
        lock_ms = min(lock_ms, strong_ms / (strong_count + 1))
    else:
        strong_ms = round(lock_ms) + settings.strong_hold_max_ms
    yield_ms = deadlock_timeout_ms + settings.yield_margin_ms if autovacuum else None
    queued_ms = (yield_ms or 0) * len({lock.table for lock in locks})
    return Limits(max(1, round(lock_ms)), yield_ms, strong_ms, strong_ms + queued_ms)


def pause_s(attempt: int, *, first_s: float, max_s: float, jitter: float) -> float:
    """Return the pause after attempt ``attempt`` (from 0): doubling, at most ``max_s``, times 0.5 to 1.5."""
    return min(max_s, first_s * 2.0 ** min(attempt, 32) * (0.5 + jitter))


class LockBudget:
    """Time in which a strong lock was queued or held, by table, in a sliding window (I11).

    An attempt counts in full until its end has left the window, so what is spent never exceeds the budget in any
    window, wherever it begins.
    """

    def __init__(self, *, budget_ms: float, window_s: float) -> None:
        self._budget_ms = budget_ms
        self._window_s = window_s
        self._spent: defaultdict[Hashable, deque[tuple[float, float]]] = defaultdict(deque)

    def spend(self, tables: Iterable[Hashable], *, spent_ms: float, now_s: float) -> None:
        """Record an attempt on ``tables`` that ended now."""
        for table in tables:
            self._spent[table].append((now_s, spent_ms))

    def wait_s(self, tables: Iterable[Hashable], *, need_ms: float, now_s: float) -> float:
        """Return how long to wait until ``need_ms`` is within the budget of every table; 0 if it is now.

        What is more than the whole budget waits for an empty window.
        """
        return max((self._wait_s(table, min(need_ms, self._budget_ms), now_s) for table in tables), default=0.0)

    def _wait_s(self, table: Hashable, need_ms: float, now_s: float) -> float:
        spent = self._spent[table]
        while spent and spent[0][0] <= now_s - self._window_s:
            spent.popleft()
        over_ms = sum(ms for _, ms in spent) + need_ms - self._budget_ms
        for ended_s, ms in spent:
            if over_ms <= 0:
                return 0.0
            over_ms -= ms
            if over_ms <= 0:
                return ended_s + self._window_s - now_s
        return 0.0
