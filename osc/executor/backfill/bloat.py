"""The bloat guard: VACUUM of the table beside its fill, when more of it is dead rows than the plan bears.

Apart from the throttle, which makes the fill rest: here the lanes go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import psycopg

from osc.errors import Unreachable
from osc.executor.explaining import said
from osc.executor.keeping import single
from osc.executor.long import LONG_DEADLINE_S
from osc.executor.throttle.dead_rows import DeadRows
from osc.executor.throttle.signal import OFF, Reading
from osc.pg import activity
from osc.pg.outcome import Outcome, classify
from osc.pg.session import close, run, set_timeouts
from osc.sql.named import load
from osc.state import events

if TYPE_CHECKING:
    from osc.executor.backfill.pace import Pace
    from osc.executor.lead import Lead
    from osc.pg.activity import Waiter
    from osc.pg.session import Connection
    from osc.program import FillStep

KEY = "vacuum_above"
PURPOSE = "vacuum"
"""Of its session: a fill that rests for vacuums does not rest for this one."""
LOCK_NOT_AVAILABLE = "55P03"


@dataclass
class BloatGuard:
    """Looks every ``vacuum_poll_s``, vacuums one at a time and at most every ``vacuum_every_s``, for one change.

    A vacuum that leaves as much as it found, since something keeps dead rows, makes the next one come later.
    """

    lead: Lead
    step: FillStep
    pace: Pace
    _conn: Connection | None = None
    _pause_s: float = 0.0
    _not_before_s: float = -math.inf
    _missed: list[str] = field(default_factory=list)
    """What the last vacuum found locked."""

    async def watch(self) -> None:
        """Guard until cancelled, which ends a vacuum that runs, or until the server says that it may not be."""
        try:
            while await self._look():
                await self.lead.clock.sleep(self.lead.settings.vacuum_poll_s)
        finally:
            await self._hang_up()

    async def _look(self) -> bool:
        """Vacuum if it is time to; return whether to look again."""
        limit = self.pace.limits.get(KEY)
        if limit is None or limit == OFF or self.lead.clock.monotonic() < self._not_before_s:
            return True
        try:
            return await self._keep_below(float(limit))
        except (psycopg.Error, Unreachable, OSError) as error:
            # The fill needs no vacuum, so none of these is worth its end.
            await self._hang_up()
            self._rest(self.lead.settings.vacuum_every_s)
            if isinstance(error, psycopg.Error) and classify(error, during="read") is Outcome.DEFINITIVE:
                return await self._refused(said(error))
            return True

    async def _keep_below(self, limit: float) -> bool:
        conn = await self._session()
        before = await self._dead(conn, limit)
        if before.utilisation < 1.0:
            return True
        if not await self._may(conn):
            return await self._refused("neither table nor database is this role's")
        await self.lead.may_go_on()
        await self._vacuum(conn, limit, before)
        return True

    async def _vacuum(self, conn: Connection, limit: float, before: Reading) -> None:
        lead, began_s = self.lead, self.lead.clock.monotonic()
        lead.report("note", f"vacuums {self.step.table}: {before.reason}", step=self.step.id)
        waiter = await self._run(conn)
        self._rest(lead.settings.vacuum_every_s)
        if waiter is not None:
            await self._record("vacuum gave way", {"pid": waiter.pid, "application": waiter.application_name})
        elif not self._missed:
            after = await self._dead(conn, limit)
            if after.utilisation >= 1.0:
                self._rest(min(2 * self._pause_s, lead.settings.vacuum_pause_max_s))
            else:
                self._pause_s = 0.0
            shares = {"dead_share": _share(before, limit), "dead_share_after": _share(after, limit)}
            await self._record("vacuumed", {**shares, "took_s": round(lead.clock.monotonic() - began_s, 1)})

    async def _run(self, conn: Connection) -> Waiter | None:
        """Vacuum; return for whom it was cut short: nobody shall wait for its lock as nobody does for autovacuum's."""
        found: list[Waiter] = []
        self._missed.clear()

        async def give_way(scope: anyio.CancelScope) -> None:
            while not found:
                await self.lead.clock.sleep(self.lead.settings.vacuum_yield_s)
                # One look is short, and cancelling it half-way could hit the statement that comes after it.
                with anyio.CancelScope(shield=True):
                    waiting = activity.who_waits_on(self.lead.control, [conn.info.backend_pid])
                    found.extend(await self.lead.ask(waiting))
            scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(give_way, group.cancel_scope)
                await run(conn, load("vacuum")["vacuum"].format(table=self.step.table.sql), deadline_s=LONG_DEADLINE_S)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise single(errors) from None
        return found[0] if found else None

    async def _session(self) -> Connection:
        if self._conn is None or self._conn.closed:
            settings = self.lead.settings
            self._conn = conn = await self.lead.worker(PURPOSE)
            conn.add_notice_handler(self._hear)
            await set_timeouts(
                conn,
                statement_timeout_ms=0,
                lock_timeout_ms=settings.lock_timeout_first_ms,
                deadline_s=settings.query_deadline_s,
            )
            await run(conn, load("vacuum")["gently"], deadline_s=settings.query_deadline_s)
        return self._conn

    def _hear(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.sqlstate == LOCK_NOT_AVAILABLE:
            self._missed.append(diagnostic.message_primary or "")

    async def _dead(self, conn: Connection, limit: float) -> Reading:
        (found,) = await DeadRows(self.step.table).read(conn, limit, self.lead.clock.monotonic())
        return found

    async def _may(self, conn: Connection) -> bool:
        params = {"schema": self.step.table.schema, "table": self.step.table.name}
        cursor = await run(conn, load("vacuum")["may_vacuum"], params, deadline_s=self.lead.settings.query_deadline_s)
        row = await cursor.fetchone()
        return row is not None and bool(row[0])

    async def _refused(self, why: str) -> bool:
        """Say so once, and look no more."""
        self.lead.report("note", f"{self.step.table} is not vacuumed: {why}", step=self.step.id)
        await self._record("vacuum refused", {"why": why})
        return False

    async def _record(self, kind: str, data: dict[str, object]) -> None:
        lead = self.lead
        told = {"step": self.step.id, "table": str(self.step.table), **data}
        await lead.ask(events.record(lead.control, lead.number, kind, told, who=lead.who, epoch=lead.epoch))

    def _rest(self, pause_s: float) -> None:
        self._pause_s = max(self._pause_s, pause_s)
        self._not_before_s = self.lead.clock.monotonic() + self._pause_s

    async def _hang_up(self) -> None:
        if self._conn is not None:
            await close(self._conn)
            self._conn = None


def _share(reading: Reading, limit: float) -> float:
    return round(reading.utilisation * limit, 3)
