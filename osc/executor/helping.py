"""Lanes of another process's fill: who does not lead walks slices of it all the same, under the leader's epoch.

A helper holds nothing but its slices. Its backends are recorded like the leader's, so whoever takes the lead ends them; its
batches prove the epoch of their slice, which a takeover counts up. A helper that is not seen any more loses its slices to
others (osc.state.slices.claim_next).
"""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack

import anyio

from osc.errors import LeaseLost
from osc.executor.backfill.crew import crew_for
from osc.executor.backfill.ground import Rewritten
from osc.executor.backfill.leaves import LeavesChanged
from osc.executor.backfill.pace import Pace
from osc.executor.keeping import single
from osc.executor.lead import Executor, Lead, Redirected
from osc.pg.session import close, deadlock_timeout_ms, within
from osc.program import FillStep
from osc.state import changes, journal, lease, slices
from osc.state.changes import Change
from osc.state.journal import StepRow


async def help_out(executor: Executor, change: Change) -> bool:
    """Walk slices of the fill that another executor leads until none is left; return whether there was one to help with.

    Only where the change wants several lanes. Whatever stops the fill is the leader's to say: the helper lets go.
    """
    async with AsyncExitStack() as stack:
        lead = await _beside_the_leader(executor, change, stack)
        found = await _fill(lead) if lead is not None else None
        if lead is None or found is None:
            return False
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_be_seen, lead)
                await _walk(lead, *found)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise single(errors) from None
        return True


async def _beside_the_leader(executor: Executor, change: Change, stack: AsyncExitStack) -> Lead | None:
    """Return what a helper has in hand, ``None`` if nobody leads: then the lead is to be taken."""
    control = await executor.connect(change.id, "control")
    stack.push_async_callback(close, control)
    deadline_s = executor.settings.reply_deadline_s
    standing = await within(control, deadline_s, changes.standing(control, change.number))
    leader = await within(control, deadline_s, lease.leader(control, change.number))
    if leader is None or not leader.alive or standing.epoch is None or leader.owner == executor.owner:
        return None
    host, pid = socket.gethostname(), os.getpid()
    await within(
        control, deadline_s, lease.register_executor(control, executor.owner, host=host, pid=pid, kind=executor.kind)
    )
    observer = await executor.connect(change.id, "observer")
    stack.push_async_callback(close, observer)
    deadlock_ms = await deadlock_timeout_ms(control, deadline_s=executor.settings.query_deadline_s)
    lead = Lead(
        executor, change, change.program(), standing.epoch, control, control, observer, control, deadlock_ms,
        wished=standing.wish,
    )  # fmt: skip
    await lead.record(control)
    return lead


async def _fill(lead: Lead) -> tuple[FillStep, StepRow] | None:
    """Return the fill that runs, if several lanes shall walk it and its slices are made."""
    steps = {step.id: step for step in lead.program.steps()}
    for row in await lead.ask(journal.steps(lead.control, lead.number)):
        step = steps.get(row.step)
        if isinstance(step, FillStep) and row.state == "started" and (await Pace(lead).read()).lanes != 1:
            open_ = await lead.ask(slices.is_open(lead.control, lead.number, step.id))
            return (step, row) if open_ else None
    return None


async def _walk(lead: Lead, step: FillStep, row: StepRow) -> None:
    lead.report("step", f"helps: {step.title}", phase=str(step.phase), step=step.id)
    try:
        crew = await crew_for(lead, step, row, leads=False)
        await crew.work()
    except (LeaseLost, Redirected, Rewritten, LeavesChanged):
        lead.report("note", f"{step.table}: the leader goes on without this process", step=step.id)


async def _be_seen(lead: Lead) -> None:
    """Say every heartbeat that this process is alive; who is not seen loses its slices."""
    host, pid = socket.gethostname(), os.getpid()
    while True:
        await lead.clock.sleep(lead.settings.heartbeat_s)
        await lead.ask(
            lease.register_executor(lead.control, lead.executor.owner, host=host, pid=pid, kind=lead.executor.kind)
        )
