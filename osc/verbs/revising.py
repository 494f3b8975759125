"""Accepting drift: the phases not yet begun are compiled again for the tables as they are now, as the next revision."""

from __future__ import annotations

from dataclasses import dataclass

from osc.catalog import Catalog
from osc.catalog.accepting import accepted
from osc.errors import Conflict, Refused
from osc.executor import entering
from osc.executor.lead import Lead
from osc.pg.catalog import read_catalog
from osc.plan import PlanFile
from osc.program import Phase, Program
from osc.state import changes, journal, registration
from osc.state.changes import Change
from osc.state.transitions import State, phase_completed
from osc.verbs.compiling import Compiled, compile_on, prove
from osc.verbs.moving import move
from osc.verbs.session import Session


async def accept_drift(session: Session, change: Change, source: PlanFile) -> Change:
    """Return the change with the next revision of its program; approvals given to the old one lapse, for they carry its hash.

    What the begun phases made stays, so they must come out of the plan unchanged, and the tables must then be as the
    new program expects them. Raises Conflict otherwise; nothing was changed.
    """

    async def revise(lead: Lead) -> None:
        _refuse_half_back(lead.change)
        program = await _Revision(lead, source).program()
        if program is not None:
            await lead.ask(registration.revise(lead.control, lead.change, program, lead.epoch, who=session.who))
        await lead.ask(changes.problem(lead.control, lead.number, None, epoch=lead.epoch))

    _refuse_half_back(change)  # before the lead is taken, which would leave its mark; the leader asks again
    return await move(session, change, "apply", revise)


def _refuse_half_back(change: Change) -> None:
    if change.state is State.ROLLING_BACK:
        raise Conflict(f"{change.id} is being rolled back; nothing was changed", hint=f"osc rollback {change.id}")


@dataclass
class _Revision:
    """One attempt to make the program anew, under the lead, so that nothing moves meanwhile."""

    lead: Lead
    source: PlanFile

    async def program(self) -> Program | None:
        """Return the new program, or ``None`` where the tables are as the one that is there expects them."""
        lead, old = self.lead, self.lead.program
        rows = {row.step: row.state for row in await lead.ask(journal.steps(lead.control, lead.number))}
        phase = _next(lead.change)
        original = old.phases[0].expects
        actual = await read_catalog(lead.observer, [table.name for table in original.tables])
        if not _differences(lead, old, phase, rows, actual) and not await entering.changed_functions(lead):
            return None
        base = accepted(original, entering.expected(old, phase, rows), actual)
        compiled = await compile_on(lead.observer, self.source, base)
        begun = await lead.ask(changes.phases(lead.control, lead.number))
        # Once expand has begun, what expressions are proven on has their results in it already.
        program = compiled.program.model_copy(update={"writers": old.writers}) if begun else await self._prove(compiled)
        for one in begun:
            if old.phase(one).steps != program.phase(one).steps:
                raise self._cannot(f"{one} has begun and would be made otherwise now")
        left = _differences(lead, program, phase, rows, actual)
        if left:
            raise self._cannot("; ".join(left))
        return program

    async def _prove(self, compiled: Compiled) -> Program:
        """Prove the expressions again; return the program with what they need."""
        program, findings = await prove(self.lead.observer, compiled, self.lead.settings)
        if findings:
            raise Refused(
                f"plan {self.source.plan.id} cannot be run on the tables as they are now; nothing was changed",
                hint="mend what is listed, or put the tables back",
                findings=findings,
            )
        return program

    def _cannot(self, why: str) -> Conflict:
        return Conflict(
            f"the drift of {self.lead.change.id} cannot be accepted: {why}; nothing was changed",
            hint="put the difference back as it was, or roll back, which frees the id for a new attempt",
        )


def _next(change: Change) -> Phase:
    completed = phase_completed(change.state)
    return next(phase for phase in Phase if completed is None or phase.order > completed.order)


def _differences(lead: Lead, program: Program, phase: Phase, rows: dict[str, str], actual: Catalog) -> list[str]:
    """Return what the program does not expect of the tables and cannot overlook."""
    expected = entering.expected(program, phase, rows)
    found = entering.compared(
        program,
        entering.without_work(lead, phase, rows, expected),
        entering.without_work(lead, phase, rows, actual),
    )
    return [one.line() for one in found if one.touches_plan]
