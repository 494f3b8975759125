"""On entry to a phase the real tables are compared with those the Program expects; drift stops before anything is changed."""

from __future__ import annotations

from osc.catalog import Catalog
from osc.catalog.compare import Difference, compare
from osc.catalog.effects import apply_effects
from osc.errors import Drift, Finding
from osc.executor.lead import Lead
from osc.names import QName
from osc.pg.catalog import read_catalog
from osc.program import Phase, Program
from osc.state import events, journal


async def check(lead: Lead, phase: Phase) -> None:
    """Compare and record what differs; raise Drift if a difference touches the plan.

    In the middle of a phase the effects of its finished steps are expected too; a step that was begun and not finished
    may have left its object, which its handler will find by name.
    """
    actual = await lead.ask(read_catalog(lead.observer, lead.program.tables))
    differences = compare(await _expected(lead, phase), actual, columns=columns_by_table(lead.program))
    touching = [one for one in differences if one.touches_plan]
    if touching:
        raise drift(lead.change.id, phase, touching)
    if differences:
        noted = {"phase": str(phase), "differences": [one.line() for one in differences]}
        await lead.ask(
            events.record(lead.control, lead.number, "catalog.differs", noted, who=lead.who, epoch=lead.epoch)
        )


async def _expected(lead: Lead, phase: Phase) -> Catalog:
    rows = {row.step: row for row in await lead.ask(journal.steps(lead.control, lead.number))}
    part = lead.program.phase(phase)
    done = [step for step in part.steps if step.id in rows and rows[step.id].state == "done"]
    return apply_effects(part.expects, tuple(effect for step in done for effect in step.effects))


def columns_by_table(program: Program) -> dict[QName, frozenset[str]]:
    """Return the columns of the plan, as compare() wants them."""
    return {QName.parse(table): frozenset(columns) for table, columns in program.columns_of_plan.items()}


def drift(change_id: str, phase: Phase, differences: list[Difference]) -> Drift:
    """Return the refusal that lists ``differences``."""
    findings = [Finding("S220", one.line()) for one in differences]
    listed = "; ".join(one.line() for one in differences)
    return Drift(
        f"the tables are not as {phase} of {change_id} expects them, so nothing was changed: {listed}",
        hint="put it back as it was, or accept the change: osc apply PLAN --accept-drift",
        findings=findings,
        facts={"differences": [one.line() for one in differences]},
    )
