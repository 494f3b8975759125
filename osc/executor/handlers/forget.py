"""The end of what fills kept for the way back: deleted in batches, so that no transaction is long and any can be the last."""

from __future__ import annotations

from osc.executor.lead import Lead
from osc.program import ForgetStep
from osc.state import journal, kept
from osc.state.journal import StepRow


async def do(lead: Lead, step: ForgetStep, row: StepRow) -> None:
    """Delete everything that was kept of the change; afterwards nothing is left of it, and the step is done."""
    while await lead.ask(kept.forget(lead.control, lead.number, lead.epoch, lead.settings.forget_rows)):
        await lead.may_go_on()
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))
