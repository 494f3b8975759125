"""What is told of a running step's progress, written down beside the work: status reads the database only."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import anyio
import psycopg

from osc.state import journal

if TYPE_CHECKING:
    from osc.executor.lead import Lead
    from osc.executor.reports import Report


async def note_progress(lead: Lead) -> None:
    """Write the newest progress of the step that runs into its row, every ``progress_noted_s``; runs until cancelled.

    Nothing depends on it, so what the server says against it is no reason to stop: who needs the session will see.
    """
    noted: Report | None = None
    while True:
        await lead.clock.sleep(lead.settings.progress_noted_s)
        row, told = lead.row, lead.progress
        if row is None or told is None or told is noted:
            continue
        noted = told
        # One write is short, and cancelling it half-way could hit the statement that comes after it on this session.
        with anyio.move_on_after(lead.settings.reply_grace_s, shield=True), contextlib.suppress(psycopg.Error):
            await lead.ask(journal.progress(lead.control, lead.number, row.ordinal, lead.epoch, document(told)))


def document(told: Report) -> dict[str, Any]:
    """Return what is kept of a report: amounts in ``unit``, ``rate`` a second; ``phase`` where a build has several."""
    return {
        "done": told.done,
        "total": told.total,
        "rate": told.rate,
        "unit": str(told.facts.get("unit", "rows")),
        "phase": str(told.facts.get("phase", "")),
        "mismatches": int(told.facts.get("mismatches", 0)),
    }
