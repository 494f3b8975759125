"""On entry to a phase the real tables are compared with those the Program expects; drift stops before anything is changed."""

from __future__ import annotations

from osc.catalog import Catalog, Table
from osc.catalog.compare import Difference, compare
from osc.catalog.effects import apply_effects
from osc.errors import Drift, Finding
from osc.executor import working_names
from osc.executor.lead import Lead
from osc.names import QName
from osc.pg.catalog import read_catalog
from osc.program import DropIndexStep, IndexStep, Phase, Program
from osc.state import events, journal


async def check(lead: Lead, phase: Phase) -> None:
    """Compare and record what differs; raise Drift if a difference touches the plan.

    In the middle of a phase the effects of its finished steps are expected too. What a step that was begun and not
    finished may have left or taken is its handler's to find: a transaction left nothing, an index step an index under
    a name of its own, or an index half dropped.
    """
    rows = {row.step: row.state for row in await lead.ask(journal.steps(lead.control, lead.number))}
    actual = await read_catalog(lead.observer, lead.program.tables)
    differences = compare(
        without_work(lead, phase, rows, expected(lead.program, phase, rows)),
        without_work(lead, phase, rows, actual),
        columns=columns_by_table(lead.program),
    )
    touching = [one for one in differences if one.touches_plan]
    if touching:
        raise drift(lead.change.id, phase, touching)
    if differences:
        noted = {"phase": str(phase), "differences": [one.line() for one in differences]}
        await lead.ask(
            events.record(lead.control, lead.number, "catalog.differs", noted, who=lead.who, epoch=lead.epoch)
        )


def expected(program: Program, phase: Phase, rows: dict[str, str]) -> Catalog:
    """Return the Catalog on entry, with the effects of what is done of the phase; ``rows`` has the state of each step."""
    done = [step for step in program.phase(phase).steps if rows.get(step.id) == "done"]
    undone = [step for step in program.steps() if rows.get(step.id) == "undone"]
    catalog = apply_effects(program.phase(phase).expects, tuple(effect for step in done for effect in step.effects))
    made_anew = {(effect.table, effect.name) for step in undone for effect in step.effects if hasattr(effect, "name")}
    for table in catalog.tables:
        catalog = catalog.with_table(_of_any_oid(table, {name for of, name in made_anew if of == table.name}))
    return catalog


def _of_any_oid(table: Table, names: set[str]) -> Table:
    """What a step took away and its undo made again is as it was, but it is another object."""
    if not names:
        return table
    constraints = tuple(one.model_copy(update={"oid": None}) if one.name in names else one for one in table.constraints)
    indexes = tuple(one.model_copy(update={"oid": None}) if one.name in names else one for one in table.indexes)
    return table.model_copy(update={"constraints": constraints, "indexes": indexes})


def without_work(lead: Lead, phase: Phase, rows: dict[str, str], catalog: Catalog) -> Catalog:
    """Return ``catalog`` without what index steps that were begun and not finished may have left or taken."""
    for step in lead.program.phase(phase).steps:
        if rows.get(step.id) not in ("started", "failed"):
            continue
        table = catalog.table(step.table) if isinstance(step, IndexStep | DropIndexStep) else None
        if table is not None and isinstance(step, IndexStep | DropIndexStep):
            catalog = catalog.with_table(_without_index(lead, table, step))
    return catalog


def _without_index(lead: Lead, table: Table, step: IndexStep | DropIndexStep) -> Table:
    prefix = working_names.prefix(lead.change, step)
    going = step.name if isinstance(step, DropIndexStep) else None
    left = tuple(one for one in table.indexes if one.name != going and not one.name.startswith(prefix))
    return table.model_copy(update={"indexes": left})


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
