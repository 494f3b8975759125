"""The reckoning: what the applications recorded against what the table holds, and what osc's own journal says."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from osc.demo.bank import PLAN_ID, Bank
from osc.demo.latency import percentile
from osc.demo.report import DemoReport
from osc.errors import Failed
from osc.program import Phase
from osc.state import changes, journal, verifications

if TYPE_CHECKING:
    from osc.demo.options import DemoOptions
    from osc.demo.traffic import Applications
    from osc.demo.watcher import Stays
    from osc.verbs.session import Session

Span = tuple[float, float]
"""From and until, seconds of the epoch."""


async def count(
    bank: Bank, session: Session, options: DemoOptions, *, applications: Applications, stays: Stays,
    before: Span, during: Span, mismatches: int, began: float,
) -> DemoReport:  # fmt: skip
    """Return the report; every application has been retired by now."""
    tally = applications.tally()
    lost = await bank.ask("lost_increments")
    rows = await bank.ask("count_rows")
    phases, fill_s, unverified = await _journal(session)
    calm, busy = applications.old_latencies(*before), applications.old_latencies(*during)
    longest = stays.longest
    return DemoReport(
        rows=rows,
        transactions=tally.transactions,
        failed_transactions=tally.failed,
        lost_increments=lost,
        longest_wait_ms=round(longest.ms, 1),
        p50_ms_before=round(percentile(calm, 0.50), 2),
        p99_ms_before=round(percentile(calm, 0.99), 2),
        p50_ms_during=round(percentile(busy, 0.50), 2),
        p99_ms_during=round(percentile(busy, 0.99), 2),
        backfill_rows_per_s=round(options.rows / max(fill_s, 0.001)),
        mismatches=max(mismatches, unverified),
        phases=phases,
        seconds=round(time.monotonic() - began, 1),
        errors=tally.errors,
        longest_wait=f"{longest.who} behind {longest.behind}" if longest.who else "",
        watch_gap_ms=round(stays.gap_s * 1000),
    )


async def _journal(session: Session) -> tuple[dict[str, float], float, int]:
    """Return the seconds of each phase, those of the fill, and the rows that osc's own verdicts call out of step."""
    async with session.connection("demo:journal", read_only=True) as conn:
        change = await changes.find(conn, PLAN_ID)
        if change is None:
            raise Failed(f"{PLAN_ID} is not in the journal of osc")
        times = await changes.phases(conn, change.number)
        steps = await journal.steps(conn, change.number)
        verdicts = await verifications.latest(conn, change.number)
    phases = {
        str(phase): round((times[phase].completed_at - times[phase].begun_at).total_seconds(), 3)  # type: ignore[operator]
        for phase in Phase
    }
    fill_s = sum(
        (step.done_at - step.started_at).total_seconds()
        for step in steps
        if step.kind == "fill" and step.done_at and step.started_at
    )
    return phases, fill_s, sum(verdict.mismatches for verdict in verdicts.values())
