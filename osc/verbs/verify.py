"""verify: look at every row of a change's tables now and say whether all are in step."""

from __future__ import annotations

from osc.executor.runner import verify_change
from osc.executor.verdicts import refuse_unverifiable
from osc.verbs.moving import find, move
from osc.verbs.outcome import Outcome, outcome_of
from osc.verbs.session import Session


async def verify(session: Session, change_id: str) -> Outcome:
    """Verify and record the verdict; raises Refused with keys while rows are out of step."""
    change = await find(session, change_id)
    refuse_unverifiable(change)  # before the lead is taken, which would leave its mark; the leader asks again
    change = await move(session, change, "verify", verify_change)
    return outcome_of(change, f"{change.id}: every row is in step")
