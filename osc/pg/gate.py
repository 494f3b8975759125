"""The lock gate: the one way to a strong lock. It waits for a chance, asks for the lock briefly, and counts the time.

A strong lock that waits makes everybody wait who comes after it. So the gate does not queue behind a transaction
that is already long, asks for milliseconds, and spends a budget per table (design.md section 4, "The lock gate").
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import psycopg

from osc.errors import StepFailed
from osc.pg.activity import Holder, holders
from osc.pg.lock_limits import Limits, LockBudget, limits, pause_s
from osc.pg.outcome import Outcome, classify
from osc.pg.session import run, set_timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from osc.clock import Clock
    from osc.pg.session import Connection
    from osc.settings import Settings
    from osc.sql.locks import TableLock

Message: TypeAlias = "Callable[[int, int | None], str]"
"""Gives the transaction's text for a lock_timeout_ms and a yield_first_ms, see osc.sql.message."""
Reason = Literal["long_holder", "wraparound", "budget", "lock_timeout", "overrun"]


@dataclass(frozen=True, slots=True)
class LockWait:
    """Why the gate waits now."""

    reason: Reason
    blockers: tuple[Holder, ...]
    attempts: int
    since: float
    """By the gate's clock, when the first look was taken."""


@dataclass
class _Wait:
    """What one passage through the gate remembers."""

    conn: Connection
    locks: Sequence[TableLock]
    message: Message
    observer_conn: Connection
    on_wait: Callable[[LockWait], Awaitable[None]]
    may_go_on: Callable[[], Awaitable[None]]
    since: float
    attempts: int = 0
    reason: Reason | None = None
    pauses: int = 0
    """How often in a row it paused for this reason."""
    overruns: int = 0
    seen_since: dict[tuple[int | None, str], float] = field(default_factory=dict)


class LockGate:
    """Runs transactions with strong locks; keep one per process, for it remembers what each table has borne."""

    def __init__(
        self, settings: Settings, clock: Clock, deadlock_timeout_ms: int, *, chance: random.Random | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._deadlock_timeout_ms = deadlock_timeout_ms
        self._chance = chance or random.Random()
        self._budget = LockBudget(budget_ms=settings.lock_budget_ms, window_s=settings.lock_budget_window_s)

    async def run(
        self,
        conn: Connection,
        *,
        locks: Sequence[TableLock],
        message: Message,
        observer_conn: Connection,
        on_wait: Callable[[LockWait], Awaitable[None]],
        may_go_on: Callable[[], Awaitable[None]],
    ) -> None:
        """Run the transaction of ``message`` on ``conn`` once its ``locks`` can be had without harm.

        Waits as long as it takes: ``may_go_on`` is asked before each attempt and at least every
        ``settings.poll_s`` of waiting, and raises when the change is paused, the lease lost or time up. ``on_wait``
        hears of every reason to wait. Raises StepFailed when the statements repeatedly take longer under the lock
        than they may, and lets every other error of the server through: a ReplyLost or a broken connection is for
        the caller to find out about. Leaves the session's timeouts as ``connect`` pinned them.
        """
        wait = _Wait(conn, locks, message, observer_conn, on_wait, may_go_on, self._clock.monotonic())
        try:
            while not await self._passed(wait):
                pass
        finally:
            await self._restore_timeouts(conn)

    async def _passed(self, wait: _Wait) -> bool:
        """Take one look and, if nothing stands in the way, make one attempt; return whether it went through."""
        await wait.may_go_on()
        census = await self._look(wait)
        if obstacle := self._obstacle(wait, census):
            await self._wait(wait, *obstacle, max_s=self._settings.long_holder_poll_max_s)
            return False
        limits = self._limits(wait, census)
        if not await self._within_budget(wait, limits):
            return False
        missed = await self._attempt(wait, limits)
        if missed is None:
            return True
        await self._wait(wait, missed, await self._look(wait), max_s=self._settings.lock_retry_pause_max_s)
        return False

    async def _look(self, wait: _Wait) -> tuple[Holder, ...]:
        """Return who is in the way, and remember since when each transaction has been seen there."""
        if not wait.locks:
            return ()
        found = await holders(wait.observer_conn, wait.locks, not_pids=[wait.conn.info.backend_pid])
        now = self._clock.monotonic()
        keys = [(holder.pid, holder.transaction) for holder in found]
        wait.seen_since = {key: wait.seen_since.get(key, now) for key in keys}
        return found

    def _obstacle(self, wait: _Wait, census: Sequence[Holder]) -> tuple[Reason, tuple[Holder, ...]] | None:
        """Return whom not to queue behind: long transactions, and a vacuum that will not give way."""
        if vacuums := tuple(holder for holder in census if holder.to_prevent_wraparound):
            return "wraparound", vacuums
        long = tuple(holder for holder in census if not holder.is_autovacuum and self._is_long(wait, holder))
        return ("long_holder", long) if long else None

    def _is_long(self, wait: _Wait, holder: Holder) -> bool:
        # The server hides ages from a role without pg_read_all_stats; then what we saw ourselves has to do.
        seen_s = self._clock.monotonic() - wait.seen_since[holder.pid, holder.transaction]
        return max(holder.age_s or 0.0, seen_s) > self._settings.long_holder_s

    def _limits(self, wait: _Wait, census: Sequence[Holder]) -> Limits:
        return limits(
            self._settings,
            wait.locks,
            attempt=wait.attempts,
            deadlock_timeout_ms=self._deadlock_timeout_ms,
            autovacuum=any(holder.is_autovacuum for holder in census),
            jitter=self._chance.random(),
        )

    async def _within_budget(self, wait: _Wait, limits: Limits) -> bool:
        """Wait a while and return False if this attempt could spend more than its tables can bear now."""
        now_s = self._clock.monotonic()
        wait_s = self._budget.wait_s(_strong_tables(wait), need_ms=limits.strong_ms, now_s=now_s)
        if wait_s <= 0:
            return True
        await wait.on_wait(LockWait("budget", (), wait.attempts, wait.since))
        await self._pause(wait, wait_s)
        return False

    async def _attempt(self, wait: _Wait, limits: Limits) -> Reason | None:
        """Send the message once; return None when it was done, or why it was not."""
        await self._set_timeouts(wait.conn, limits)
        begun_s = self._clock.monotonic()
        wait.attempts += 1
        try:
            await run(
                wait.conn,
                wait.message(limits.lock_timeout_ms, limits.yield_first_ms),
                deadline_s=limits.statement_timeout_ms / 1000 + self._settings.reply_grace_s,
            )
        except psycopg.Error as error:
            return self._missed(wait, error, limits)
        finally:
            now_s = self._clock.monotonic()
            # Queueing for autovacuum is not strong; how much of the time that was, only the server knows.
            spent_ms = min((now_s - begun_s) * 1000, limits.strong_ms)
            self._budget.spend(_strong_tables(wait), spent_ms=spent_ms, now_s=now_s)
        return None

    def _missed(self, wait: _Wait, error: psycopg.Error, limits: Limits) -> Reason:
        """Return why this attempt is worth another, or raise."""
        outcome = classify(error, during="transaction")
        if outcome is Outcome.LOCK_NOT_AVAILABLE:
            wait.overruns = 0
            return "lock_timeout"
        if outcome is not Outcome.CANCELLED:
            raise error
        wait.overruns += 1
        if wait.overruns >= self._settings.strong_overruns_max:
            raise _overrun(wait, limits) from error
        return "overrun"

    async def _wait(self, wait: _Wait, reason: Reason, blockers: tuple[Holder, ...], *, max_s: float) -> None:
        await wait.on_wait(LockWait(reason, blockers, wait.attempts, wait.since))
        wait.pauses = wait.pauses + 1 if reason == wait.reason else 0
        wait.reason = reason
        first_s, jitter = self._settings.lock_retry_pause_first_s, self._chance.random()
        await self._pause(wait, pause_s(wait.pauses, first_s=first_s, max_s=max_s, jitter=jitter))

    async def _pause(self, wait: _Wait, seconds: float) -> None:
        end_s = self._clock.monotonic() + seconds
        while (left_s := end_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left_s, self._settings.poll_s))
            await wait.may_go_on()

    async def _set_timeouts(self, conn: Connection, limits: Limits) -> None:
        await set_timeouts(
            conn,
            statement_timeout_ms=limits.statement_timeout_ms,
            lock_timeout_ms=limits.lock_timeout_ms,
            deadline_s=self._settings.query_deadline_s,
        )

    async def _restore_timeouts(self, conn: Connection) -> None:
        """Give the session its own timeouts back, even while being cancelled; a lost connection needs none."""
        if conn.closed or conn.broken:
            return
        # A connection that breaks here must not hide the error that is on its way.
        with anyio.CancelScope(shield=True), contextlib.suppress(psycopg.Error):
            await set_timeouts(
                conn,
                statement_timeout_ms=round(self._settings.query_deadline_s * 1000),
                lock_timeout_ms=self._settings.session_lock_timeout_ms,
                deadline_s=self._settings.query_deadline_s,
            )


def _strong_tables(wait: _Wait) -> frozenset[object]:
    return frozenset(lock.table for lock in wait.locks if lock.mode.strong)


def _overrun(wait: _Wait, limits: Limits) -> StepFailed:
    tables = ", ".join(dict.fromkeys(str(lock.table) for lock in wait.locks))
    return StepFailed(
        f"the statements under the lock on {tables} were cut off {wait.overruns} times in a row after at most"
        f" {limits.strong_ms} ms, and not for want of the lock; every attempt was rolled back",
        hint="they do more than change the catalog: split the step, or find what made them slow",
        facts={"attempts": wait.attempts, "strong_ms": limits.strong_ms},
    )
