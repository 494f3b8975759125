"""On entry to a phase the real tables are compared with those the Program expects; drift stops before anything is changed."""

from __future__ import annotations

import psycopg

from osc.catalog import Catalog, Table
from osc.catalog.compare import Difference, compare
from osc.catalog.effects import DropColumn, apply_effects
from osc.errors import Drift, Finding, OscError
from osc.executor import reading, working_names
from osc.executor.explaining import said
from osc.executor.lead import Lead
from osc.names import QName
from osc.pg.catalog import read_catalog
from osc.pg.functions import function_hashes
from osc.pg.outcome import quoted_of
from osc.program import DropIndexStep, FillStep, IndexStep, Phase, Program, VerifyStep
from osc.state import events, journal


async def check(lead: Lead, phase: Phase) -> None:
    """Compare and record what differs; raise Drift if a difference touches the plan.

    In the middle of a phase the effects of its finished steps are expected too. What a step that was begun and not
    finished may have left or taken is its handler's to find: a transaction left nothing, an index step an index under
    a name of its own, or an index half dropped.
    """
    differences = await _differences(lead, phase)
    touching = [one for one in differences if one.touches_plan]
    if touching:
        raise drift(lead.change.id, phase, touching)
    if differences:
        noted = {"phase": str(phase), "differences": [one.line() for one in differences]}
        await lead.ask(
            events.record(lead.control, lead.number, "catalog.differs", noted, who=lead.who, epoch=lead.epoch)
        )


async def why(lead: Lead, phase: Phase, error: Exception) -> Exception:
    """Return Drift in the place of ``error`` where what touches the plan is not as the step expects it, else ``error``.

    A step fails in many ways over what somebody did to its tables meanwhile; the list of it says more.
    """
    try:
        touching = [one for one in await _differences(lead, phase) if one.touches_plan]
    except (psycopg.Error, OscError):
        return error
    if not touching:
        return error
    said_so = error.message if isinstance(error, OscError) else said(error)
    told = drift(lead.change.id, phase, touching, stopped_by=said_so)
    told.quoted = error.quoted if isinstance(error, OscError) else tuple(quoted_of(error))
    return told


async def refuse_dependents(lead: Lead) -> None:
    """Raise Drift while something made meanwhile reads a column that is to be dropped: past this line is no way back."""
    steps = lead.program.phase(Phase.CONTRACT).steps
    # Statistics go with a column by themselves, and nothing else does; those that were there the plan has named.
    before = lead.program.phase(Phase.CONTRACT).expects.tables
    named = {(one.kind, one.name) for table in before for one in table.dependents if one.kind == "statistics"}
    going = {(one.table, one.name) for step in steps for one in step.effects if isinstance(one, DropColumn)}
    differences = [
        Difference(table=table.name, object=f"{one.kind} {one.name}", expected="nothing that reads an old column",
                   actual=f"one of {', '.join(sorted(read))}", touches_plan=True)
        for table in (await read_catalog(lead.observer, lead.program.tables)).tables
        for one in table.dependents
        if (one.kind, one.name) not in named and (read := {column for column in one.columns if (table.name, column) in going})
    ]  # fmt: skip
    if differences:
        raise drift(lead.change.id, "the drop", differences)


async def find_tables(lead: Lead) -> frozenset[QName]:
    """Return the tables of the change that are gone; raise Drift where one is elsewhere or another has its name.

    Undoing goes by name, and what is not ours must not be touched (I28).
    """
    known = {table.name: table.oid for table in lead.program.phases[0].expects.tables if table.oid is not None}
    gone, differences = set(), []
    for row in await reading.whereabouts(lead, known):
        name = QName(row["schema"], row["name"])
        if row["in_place"]:
            continue
        if row["called_now"] is None and row["oid_of_name"] is None:
            gone.add(name)
            continue
        actual = row["called_now"] or f"oid {row['oid_of_name']}, another table of this name"
        differences.append(
            Difference(table=name, object="table", expected=f"oid {known[name]}", actual=actual, touches_plan=True)
        )
    if differences:
        raise drift(lead.change.id, "the way back", differences)
    return frozenset(gone)


async def _differences(lead: Lead, phase: Phase) -> list[Difference]:
    rows = {row.step: row.state for row in await lead.ask(journal.steps(lead.control, lead.number))}
    actual = await read_catalog(lead.observer, lead.program.tables)
    wanted = without_work(lead, phase, rows, expected(lead.program, phase, rows))
    found = compared(lead.program, wanted, without_work(lead, phase, rows, actual))
    return [*await changed_functions(lead), *found]


def compared(program: Program, wanted: Catalog, actual: Catalog) -> tuple[Difference, ...]:
    """Compare two Catalogs as far as the program is concerned."""
    return compare(wanted, actual, columns=columns_by_table(program), keys=keys_by_table(program))


async def changed_functions(lead: Lead) -> list[Difference]:
    """Return the functions called by the plan's expressions that are gone or do something else now (F65)."""
    known = lead.program.functions
    now = await function_hashes(lead.observer, known)
    return [
        Difference(table=lead.program.tables[0], object=f"function {signature}", expected="as it was",
                   actual="another body" if signature in now else "nothing", touches_plan=True)
        for signature, was in known.items()
        if now.get(signature) != was
    ]  # fmt: skip


def expected(program: Program, phase: Phase, rows: dict[str, str]) -> Catalog:
    """Return the Catalog on entry, with the effects of what is done of the phase; ``rows`` has the state of each step."""
    done = [step for step in program.phase(phase).steps if rows.get(step.id) in ("done", "undoing")]
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
        if rows.get(step.id) not in ("started", "failed", "undoing"):
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


def keys_by_table(program: Program) -> dict[QName, tuple[str, ...]]:
    """Return by which unique key each table is paged."""
    paged = [step for step in program.steps() if isinstance(step, FillStep | VerifyStep)]
    return {step.table: tuple(column.name for column in step.key) for step in paged}


def drift(change_id: str, phase: Phase | str, differences: list[Difference], *, stopped_by: str = "") -> Drift:
    """Return the refusal that lists ``differences``; ``stopped_by`` is what a step that had begun met."""
    findings = [Finding("S220", one.line()) for one in differences]
    listed = "; ".join(one.line() for one in differences)
    outcome = f"it stopped ({stopped_by})" if stopped_by else "nothing was changed"
    return Drift(
        f"the tables are not as {phase} of {change_id} expects them, so {outcome}: {listed}",
        hint="put it back as it was, or accept the change: osc apply PLAN --accept-drift",
        findings=findings,
        facts={"differences": [one.line() for one in differences]},
    )
