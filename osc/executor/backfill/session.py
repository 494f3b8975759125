"""The session of a lane: what it tells the server about itself, and what the planner must not do."""

from __future__ import annotations

from osc.executor.lead import Lead
from osc.pg.session import Connection, run
from osc.program import FillStep
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
        f" {ASYNCHRONOUS}; {WALK_THE_KEY} {replica}",
        deadline_s=settings.query_deadline_s,
    )
