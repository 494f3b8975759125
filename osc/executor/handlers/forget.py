"""The end of what fills kept for the way back: deleted in batches, so that no transaction is long and any can be the last."""

from __future__ import annotations

from osc.executor.lead import Lead
from osc.program import FillStep, ForgetStep
from osc.state import journal, kept
from osc.state.journal import StepRow


async def do(lead: Lead, step: ForgetStep, row: StepRow) -> None:
    """Delete everything that was kept of the change; afterwards nothing is left of it, and the step is done."""
    await everything(lead)
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def everything(lead: Lead, fill: FillStep | None = None) -> None:
    """Delete, piece by piece, what the fills of the change kept, or one of them."""
    step, rows = fill.id if fill else None, lead.settings.forget_rows
    while await lead.ask(kept.forget(lead.control, lead.number, lead.epoch, rows, step=step)):
        await lead.may_go_on()
