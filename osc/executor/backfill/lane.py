"""One lane: walks a slice batch by batch, never waits long for a row, names rows that cannot be filled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncRawCursor

from osc.errors import Conflict, LeaseLost, StepFailed
from osc.executor.backfill.servo import Servo
from osc.executor.handlers.transaction import explain
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.pg.outcome import Outcome, classify, sqlstate_of, without_values
from osc.pg.session import Connection, within
from osc.program import FillStep
from osc.sql import batch
from osc.state import slices
from osc.state.slices import Key, Slice

Row = tuple[Any, ...]

ROW_TRIES_MAX = 5
"""A row that alone takes longer than a batch may live so many times cannot be filled, and is named like one that raises."""

WALK_THE_KEY = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off;"
    " SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_custom_plan;"
)
"""The planner must walk the key's index: for a page of unknown bounds a scan of the whole table could look cheaper."""


@dataclass
class Lane:
    """A walk over one slice on one session. ``seq`` and ``cursor`` are those of the slice row after the last batch."""

    lead: Lead
    step: FillStep
    slice: Slice
    conn: Connection
    size: Servo
    speed: float = 1.0
    held: bool = False
    """Whether a limit is so near, or was reached, that batches must not grow."""
    skip_windows: int = 0
    """So many windows more go with SKIP LOCKED before a plain one is tried."""
    skip_next: int = 0
    small_until: int = 0
    """Bisecting for a poison row: so many batches stay small before they grow again."""
    alone_too_slow: int = 0
    """How often in a row a batch of one row, which waits for nobody, ran out of time."""
    filled: int = 0
    skipped: int = 0
    poison: int = 0
    seq: int = field(init=False)
    cursor: Key | None = field(init=False)

    def __post_init__(self) -> None:
        self.seq, self.cursor = self.slice.seq, self.slice.cursor or self.slice.lo
        self.skip_next = self.lead.settings.skip_windows_first

    async def batch(self) -> tuple[bool, int]:
        """Do one batch; return whether the slice is finished and how many rows it looked at.

        A miss (locked rows, time up) moves nothing and makes the next windows skip what is locked (I14, F40).
        """
        skipping = self.skip_windows > 0
        await failpoint("batch.before")
        begun = self.lead.clock.monotonic()
        try:
            row = await self._next(self.step.skipping if skipping else self.step.batch, self.size.rows)
        except psycopg.Error as error:
            return await self._missed(error, skipping=skipping)
        await failpoint("batch.after")
        if row is None:
            return await self._find_out()
        took_ms = (self.lead.clock.monotonic() - begun) * 1000
        finished, rows = await self._moved(row)
        self._learn(row, took_ms, skipping=skipping)
        await self._rest(took_ms)
        return finished, rows

    async def revisit(self, lo: Key | None, hi: Key | None, note: int) -> int | None:
        """Visit a window again, both ends included; return how many rows were still locked, ``None`` if it must be asked again.

        Raises the server's error for a row that cannot be filled.
        """
        row = await self._execute(self.step.revisit, 0, lo, hi, note)
        if row is None:
            await self._find_out(walking=False)
            return None
        self.seq += 1
        self.filled += row[0]
        return int(row[1])

    async def fill_around_poison(self, lo: Key | None, hi: Key | None, *, name: bool) -> None:
        """Fill a window in which a row raises, all but such rows; with ``name`` they are named in the state (I9)."""
        sql = batch.unfilled(self.step.table, self.step.key, self.step.columns)
        params: list[Any] = [lo, hi]
        if self.step.unfilled:
            sql, params = self.step.unfilled, [lo, hi, self.slice.slice]
        found = await within(self.conn, self.lead.settings.query_deadline_s, fetch_all(self.conn, sql, params))
        await self._fill_keys([row[0] for row in found], name=name)

    async def _fill_keys(self, keys: list[Key], *, name: bool) -> None:
        if not keys:
            return
        try:
            while await self.revisit(keys[0], keys[-1], 0) is None:
                await self.lead.may_go_on()
        except psycopg.Error as error:
            if not is_poison(error):
                raise
            if len(keys) > 1:
                middle = len(keys) // 2
                await self._fill_keys(keys[:middle], name=name)
                await self._fill_keys(keys[middle:], name=name)
            elif name:
                await self._name(keys[0], error)

    async def _name(self, key: Key, error: psycopg.Error) -> None:
        said = without_values(error)
        params = [key, self.slice.slice, self.slice.epoch, self.seq, sqlstate_of(error), said]
        if await within(
            self.conn, self.lead.settings.query_deadline_s, fetch_one(self.conn, batch.NAME_POISON, params)
        ):
            self.seq += 1
            self._count_poison(said)

    def _count_poison(self, said: str) -> None:
        self.poison += 1
        if self.poison > self.lead.settings.poison_rows_max:
            raise StepFailed(
                f"{self.step.title}: more than {self.lead.settings.poison_rows_max} rows cannot be filled; the last says: {said}",
                hint="the expression does not fit the data: osc rollback, then mend the plan",
            )

    async def _next(self, sql: str, limit: int, *extra: object) -> Row | None:
        """Execute a statement on the window behind the cursor."""
        return await self._execute(sql, limit, self.cursor, self.slice.hi, *extra)

    async def _execute(self, sql: str, limit: int, lo: Key | None, hi: Key | None, *extra: object) -> Row | None:
        params = [lo, hi, limit, self.slice.slice, self.slice.epoch, self.seq, *extra]
        return await within(self.conn, self.lead.settings.query_deadline_s, fetch_one(self.conn, sql, params))

    async def _moved(self, row: Row) -> tuple[bool, int]:
        self.alone_too_slow = 0
        self.cursor, finished, rows, filled, skipped = row[0], bool(row[1]), int(row[2]), int(row[3]), int(row[4])
        self.seq += 1
        self.filled += filled
        self.skipped += skipped
        return finished, rows

    def _learn(self, row: Row, took_ms: float, *, skipping: bool) -> None:
        if skipping:
            self.skip_windows -= 1
        elif self.skip_next > self.lead.settings.skip_windows_first:
            self.skip_next = max(self.lead.settings.skip_windows_first, self.skip_next // 2)
        if self.small_until > 0:
            self.small_until -= 1
            return
        rows, filled = int(row[2]), int(row[3])
        # What an earlier version compiled tells no server time; then the round trip has to do.
        ms, wal_bytes = (float(row[5]), int(row[6])) if len(row) > batch.PLAIN_COLUMNS else (took_ms, 0)
        self.size.took(rows=rows, ms=ms, filled=filled, wal_bytes=wal_bytes, held=self.held)

    async def _rest(self, took_ms: float) -> None:
        if self.speed < 1.0:
            await self.lead.clock.sleep(took_ms / 1000 * (1 - self.speed) / self.speed)

    async def _missed(self, error: psycopg.Error, *, skipping: bool) -> tuple[bool, int]:
        outcome = classify(error, during="transaction")
        if outcome in (Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED):
            self.alone_too_slow += outcome is Outcome.CANCELLED and skipping and self.size.rows == 1
            if self.alone_too_slow >= ROW_TRIES_MAX:
                return await self._bisect(error)
            if skipping or outcome is Outcome.CANCELLED:
                self.size.halve()
            self.skip_windows = self.skip_next
            self.skip_next = min(self.skip_next * 2, self.lead.settings.skip_windows_max)
            return False, 0
        if outcome is Outcome.TRANSIENT:
            await self.lead.clock.sleep(self.lead.settings.transient_pause_first_s)
            return False, 0
        if is_poison(error):
            return await self._bisect(error)
        if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
            raise error
        raise explain(self.step.title, error) from error

    async def _bisect(self, error: psycopg.Error) -> tuple[bool, int]:
        """Close in on the row that cannot be filled; alone in its batch it is named and passed over (I9)."""
        if self.size.rows > 1:
            self.size.halve()
            self.small_until = max(self.small_until, 4)
            return False, 0
        message = without_values(error)
        row = await self._next(self.step.pass_over, 1, sqlstate_of(error), message)
        if row is None:
            return await self._find_out()
        self._count_poison(message)
        self.small_until = 0
        return await self._moved(row)

    async def _find_out(self, *, walking: bool = True) -> tuple[bool, int]:
        """A batch that wrote nothing says so by no row; the slice row tells why."""
        now = await self.lead.ask(slices.get(self.lead.control, self.slice.slice))
        if now.epoch != self.slice.epoch:
            raise LeaseLost("another executor walks this slice now; this one stopped and wrote nothing more")
        if walking and now.finished:
            return True, 0
        if now.seq != self.seq:
            # A reply of ours was lost although its batch was committed: the row, not the reply, is the truth.
            self.seq, self.cursor = now.seq, now.cursor or now.lo
            return False, 0
        await self.lead.may_go_on()  # stays while paused
        if not await self._guarded():
            raise Conflict(
                f"the sync trigger of {self.step.table} is missing, disabled or changed, or another trigger would fire for "
                "what the fill writes; the fill stopped",
                hint=f"put the triggers back as they were and osc advance {self.lead.change.id}, or roll back",
            )
        return False, 0

    async def _guarded(self) -> bool:
        row = await within(
            self.lead.control,
            self.lead.settings.query_deadline_s,
            fetch_one(self.lead.control, f"SELECT {self.step.guard}", []),
        )
        return bool(row and row[0])


def is_poison(error: psycopg.Error) -> bool:
    """Return whether the error is about one row's values: data exceptions, constraint violations, raised exceptions."""
    sqlstate = sqlstate_of(error) or ""
    return sqlstate[:2] in ("22", "23", "P0", "2F", "38", "39") or sqlstate == "44000"


def is_busy(error: psycopg.Error) -> bool:
    """Return whether the same statement may go through in a moment: locked by others, out of time, a deadlock broken."""
    return classify(error, during="transaction") in (Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED, Outcome.TRANSIENT)


async def fetch_one(conn: Connection, sql: str, params: list[Any]) -> Row | None:
    async with AsyncRawCursor(conn) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchone()


async def fetch_all(conn: Connection, sql: str, params: list[Any]) -> list[Row]:
    async with AsyncRawCursor(conn) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()
