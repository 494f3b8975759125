"""Verdicts asked for outside of a verify step: before switch, before the way back, and by `osc verify`."""

from __future__ import annotations

from osc.errors import Conflict
from osc.executor.backfill.inspection import inspect
from osc.executor.handlers import verify
from osc.executor.lead import Lead
from osc.program import FillStep, Phase, VerifyStep
from osc.state import verifications
from osc.state.changes import Change
from osc.state.transitions import State

_PHASE = {State.BACKFILLING: Phase.BACKFILL, State.BACKFILLED: Phase.BACKFILL, State.SWITCHED: Phase.CONTRACT}
"""Whose verifications know the names that the columns have; in the states between nobody can say."""


async def ensure_before_switch(lead: Lead) -> None:
    """Verify every table of the plan whose last verdict is stale, bad, or of a time when a trigger was off (I22)."""
    await _ensure(lead, Phase.BACKFILL)


async def ensure_way_back(lead: Lead) -> None:
    """The same before a switch is undone: refused while rows hold values that the old column cannot (section 5)."""
    await _ensure(lead, Phase.CONTRACT)


async def _ensure(lead: Lead, phase: Phase) -> None:
    latest = await lead.ask(verifications.latest(lead.control, lead.number))
    for step in verify_steps(lead, phase):
        last = latest.get(step.id)
        fresh = last is not None and last.guarded and last.started_s_ago <= lead.settings.verify_fresh_s
        if last is None or not fresh or last.mismatches:
            await _verify(lead, step, fill=phase is Phase.BACKFILL and step.leaf is not None)


async def verify_now(lead: Lead, phase: Phase) -> None:
    """Take a new pass over every table; raise Refused while rows are out of step."""
    for step in verify_steps(lead, phase):
        await _verify(lead, step)


async def _verify(lead: Lead, step: VerifyStep, *, fill: bool = False) -> None:
    """With ``fill`` rows that were never filled are: a partition may have been attached since, with rows in it (F72)."""
    lead.report("step", step.title, phase=str(step.phase), step=step.id)
    verify.refuse_mismatches(lead, step, await (verify.settle if fill else inspect)(lead, step))


def verify_steps(lead: Lead, phase: Phase) -> list[VerifyStep]:
    """Return the verifications of a phase; in contract those of both sides alone, and not those of a fill of its own."""
    steps = lead.program.phase(phase).steps
    filled = {step.table for step in steps if isinstance(step, FillStep) and phase is Phase.CONTRACT}
    return [step for step in steps if isinstance(step, VerifyStep) and step.table not in filled]


async def verify_change(lead: Lead) -> None:
    """Verify every table of the plan with the names that hold now; raises Refused while rows are out of step."""
    refuse_unverifiable(lead.change)
    await verify_now(lead, _PHASE[lead.change.state])


def refuse_unverifiable(change: Change) -> None:
    """Raise Conflict in a state whose columns no verification knows."""
    if change.state not in _PHASE:
        raise Conflict(
            f"{change.id} is {change.state}: there is nothing to verify now; nothing was changed",
            hint="verify works from backfill until the old columns are put out of reach",
        )


async def forget(lead: Lead, phase: Phase) -> None:
    """Forget the verdicts of a phase: the columns change sides, and none of them vouches for what comes then."""
    for step in verify_steps(lead, phase):
        await lead.ask(verifications.outdate(lead.control, lead.number, step.id))
