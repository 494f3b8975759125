"""The session of a lane: what it tells the server about itself, what the planner must not do, and how it runs a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from osc.executor.backfill.pace import WORK_US
from osc.executor.backfill.statements import Row, fetch_one
from osc.executor.lead import Lead
from osc.names import QName
from osc.pg.pipeline import Pipeline, Prepared
from osc.pg.session import Connection, run, within
from osc.program import FillStep
from osc.sql.batch import TOLD, ask_wave
from osc.sql.resting import ONE_TURN, WORK

WALK_THE_KEY = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off;"
    " SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_custom_plan;"
)
"""The planner must walk the key's index: for a page of unknown bounds a scan of the whole table could look cheaper."""
ASYNCHRONOUS = "SET synchronous_commit = off"
"""A batch and its checkpoint are one transaction, so a crash of the server loses both or neither; and whatever osc writes
about a finished fill is flushed behind them. So no batch waits for a disk or a synchronous standby."""


def life_ms(lead: Lead, target_ms: float | None = None) -> int:
    """Return how long a statement may take: as the server's deadlock check allows (S14), and so long that whoever waits for
    one of many rows hardly feels it, if it aims at ``target_ms``. One row alone may take all the time there is.
    """
    most = max(20, round(lead.deadlock_timeout_ms * lead.settings.batch_statement_timeout_share))
    return most if target_ms is None else min(most, max(lead.settings.batch_life_ms, round(2 * target_ms)))


async def live(lead: Lead, conn: Connection, life: int, *, breathing: bool = False) -> None:
    """Let the statements of the session that follow take ``life`` milliseconds, and rest for parts of one if they rest."""
    sql = f"SET statement_timeout = {life}; {_turn(lead, breathing=breathing)}"
    await run(conn, sql, deadline_s=lead.settings.query_deadline_s)


async def breathe(lead: Lead, conn: Connection, work_us: int) -> None:
    """Let statements that follow rest whenever they have worked for ``work_us`` microseconds, if they go by the setting."""
    sql = f"SET {WORK} = {work_us}; {_turn(lead, breathing=work_us > 0)}"
    await run(conn, sql, deadline_s=lead.settings.query_deadline_s)


def _turn(lead: Lead, *, breathing: bool) -> str:
    return ONE_TURN if breathing else f"SET client_connection_check_interval = {lead.settings.client_check_interval_ms}"


async def prepare(lead: Lead, step: FillStep, conn: Connection) -> None:
    """Give the session what a batch needs: it is neither version of the application, and it never waits long."""
    settings = lead.settings
    wait_ms = max(5, round(lead.deadlock_timeout_ms * settings.batch_lock_timeout_share))
    wait_ms = min(wait_ms, life_ms(lead, 0.0) // 2)  # a row that is locked must be told from a batch that takes long
    replica = "SET session_replication_role = replica;" if step.triggers == "skip" else ""
    await run(
        conn,
        f"SET osc.writer = 'backfill'; SET statement_timeout = {life_ms(lead)}; SET lock_timeout = {wait_ms};"
        f" {ASYNCHRONOUS}; {WALK_THE_KEY} {replica} DEALLOCATE ALL; PREPARE {TOLD} (text) AS {ask_wave()}",
        deadline_s=settings.query_deadline_s,
    )


@dataclass
class LaneSession:
    """Runs the statements of one lane, one after the other, or those of ``wave`` ahead of their answers."""

    lead: Lead
    conn: Connection
    table: QName
    wave: str
    """The one statement that is sent ahead, with other parameters each time."""
    breathes: bool = False
    """Whether statements rest in between."""
    _pipeline: Pipeline = field(init=False)
    _in_force: tuple[int, bool] | None = None
    """What the server was told last: how long a statement may take, and whether it rests."""

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(self.conn, self.wave, Prepared(TOLD, (self.table.sql,)))

    @property
    def rests(self) -> int:
        """After how many microseconds of work statements rest; 0: never."""
        return WORK_US if self.breathes else 0

    def lives(self, life: int) -> bool:
        """Return whether statements may take ``life`` milliseconds already, and rest as they shall."""
        return self._in_force == (life, self.breathes)

    async def live(self, life: int) -> None:
        """Let the statements that follow take ``life`` milliseconds. Nothing may be in flight unless they do already."""
        if not self.lives(life):
            await live(self.lead, self.conn, life, breathing=self.breathes)
            self._in_force = (life, self.breathes)

    async def fetch(self, sql: str, params: Sequence[Any]) -> Row | None:
        """Run a statement and return its first row."""
        return await within(self.conn, self.lead.settings.query_deadline_s, fetch_one(self.conn, sql, list(params)))

    async def fetch_resting(self, sql: str, params: Sequence[Any]) -> Row | None:
        """Run a statement whose last parameter says when it rests; those that earlier versions have compiled have none."""
        knows_rests = f"${len(params) + 1}" in sql
        return await self.fetch(sql, [*params, self.rests] if knows_rests else params)

    async def send(self, params: Sequence[Any]) -> None:
        """Have ``wave`` done behind those that are in flight. The session was prepared for it (``prepare``)."""
        await self._pipeline.send([*params, self.rests])

    async def answer(self) -> Row | None:
        """Return how many rows the first of those in flight has filled, when it is done, and what ``ask_wave`` said of it.

        None if it did not come through its fence. Raises the server's error for it.
        """
        return await within(self.conn, self.lead.settings.query_deadline_s, self._pipeline.answer())
