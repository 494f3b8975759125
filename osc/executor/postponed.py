"""A switch that is postponed, by a closed gate or a lock that is not to be had: rows are sampled from time to time.

The verification before a switch finds whatever is out of step, and finds it late. Who leads a change that waits in front
of its switch looks at some rows meanwhile (design.md section 6). Rows out of step outdate the verdict, so that the whole table
is verified before anything goes on; they are told and recorded. Nothing else depends on a sample.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import psycopg

from osc.errors import Conflict, Unreachable
from osc.executor.backfill.sampling import Sample, Sampled
from osc.executor.handlers.gate import now
from osc.executor.lead import Lead
from osc.executor.verdicts import verify_steps
from osc.program import GateStep, Phase, VerifyStep
from osc.redaction import quoted_keys
from osc.state import events, journal, samples, verifications
from osc.state.journal import StepRow
from osc.state.samples import Seen

EVENT = "sampled out of step"


async def before_a_closed_gate(lead: Lead, gate: GateStep) -> None:
    """Take a whole sample if none was taken for ``sample_every_s``; returns within about ``sample_budget_s``.

    How long ago the last one was is read from the gate's row: each look at a gate may be another process's.
    """
    rows = await lead.ask(journal.steps(lead.control, lead.number))
    row = next(one for one in rows if one.step == gate.id)
    steps = await _due(lead, row)
    if not steps:
        return
    sampler = Sampler(lead, row, steps)
    end_s = lead.clock.monotonic() + lead.settings.sample_budget_s
    try:
        await lead.may_go_on()
        while not await sampler.page():
            if lead.clock.monotonic() >= end_s:
                return await sampler.conclude()
            await lead.may_go_on()
    finally:
        await sampler.close()


@asynccontextmanager
async def before_a_lock(lead: Lead, row: StepRow) -> AsyncIterator[Turns]:
    """Yield what is to be called between two attempts at the lock of a switch step."""
    turns = Turns(lead, row, lead.clock.monotonic() + lead.settings.sample_every_s)
    try:
        yield turns
    finally:
        await turns.close()


@dataclass
class Turns:
    """Samples page by page between attempts: never beside one, whose lock it would be in the way of, and one page at a time."""

    lead: Lead
    row: StepRow
    due_s: float
    _sampler: Sampler | None = None

    async def take(self) -> None:
        """Look at one more page if it is time to."""
        if self._sampler is None:
            if self.lead.clock.monotonic() < self.due_s:
                return
            self._sampler = Sampler(self.lead, self.row, await _clean(self.lead))
        if await self._sampler.page():
            await self.close()
            self.due_s = self.lead.clock.monotonic() + self.lead.settings.sample_every_s

    async def close(self) -> None:
        """Leave a sample that goes on."""
        if self._sampler is not None:
            await self._sampler.close()
            self._sampler = None


@dataclass
class Sampler:
    """One sample, and what becomes of it. What the server says against it ends it, and never what waits."""

    lead: Lead
    row: StepRow
    steps: list[VerifyStep]
    sample: Sample = field(init=False)
    _began: bool = False

    def __post_init__(self) -> None:
        self.sample = Sample(self.lead, self.steps)

    async def page(self) -> bool:
        """Choose the pages, or look at the next of them; return whether the sample is over, and recorded then."""
        try:
            over = await self._next()
        except (psycopg.Error, Unreachable, OSError, Conflict):  # a conflict is for the verification to tell
            return True
        if over:
            await self.conclude()
        return over

    async def _next(self) -> bool:
        if self._began:
            return await self.sample.page()
        self._began = True
        await self.sample.begin()
        return False

    async def conclude(self) -> None:
        """Record what was seen; rows out of step outdate the verdict and are told."""
        lead = self.lead
        told = samples.kept(await now(lead), map(_seen, self.sample.found))
        await lead.ask(journal.note(lead.control, lead.number, self.row.ordinal, lead.epoch, told))
        for one in self.sample.found:
            if one.mismatches:
                await self._out_of_step(one)

    async def _out_of_step(self, one: Sampled) -> None:
        lead, step = self.lead, one.step
        await lead.ask(verifications.outdate(lead.control, lead.number, step.id))
        number = await lead.ask(verifications.begin(lead.control, lead.number, step.id, lead.epoch))
        await lead.ask(
            verifications.finish(lead.control, number, rows=one.rows, mismatches=one.mismatches, sample=one.keys)
        )
        # The history is for ever, so it has no keys.
        seen = _seen(one)
        await lead.ask(events.record(lead.control, lead.number, EVENT, asdict(seen), who=lead.who, epoch=lead.epoch))
        keys = quoted_keys(one.keys)
        listed = (keys.instead if lead.settings.redact else keys.words) if one.keys else ""
        lead.report(
            "note",
            f"{seen}{listed}; all of it is verified before the switch: osc verify {lead.change.id}",
            phase=str(Phase.SWITCH),
            step=step.id,
        )

    async def close(self) -> None:
        """Hang up."""
        await self.sample.close()


def _seen(one: Sampled) -> Seen:
    return Seen(one.step.id, str(one.step.table), one.rows, one.mismatches)


async def _due(lead: Lead, row: StepRow) -> list[VerifyStep]:
    """Return what to sample in front of a gate: nothing if that was done lately, else what was not verified lately."""
    last, every_s = samples.last([row]), lead.settings.sample_every_s
    if last is not None and (await now(lead) - last[0]).total_seconds() < every_s:
        return []
    return await _clean(lead, older_than_s=every_s)


async def _clean(lead: Lead, *, older_than_s: float = 0.0) -> list[VerifyStep]:
    """Return the verifications whose verdict is old enough, and not bad already."""
    latest = await lead.ask(verifications.latest(lead.control, lead.number))
    steps = []
    for step in verify_steps(lead, Phase.BACKFILL):
        last = latest.get(step.id)
        if last is None or (not last.mismatches and last.started_s_ago >= older_than_s):
            steps.append(step)
    return steps
