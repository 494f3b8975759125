"""Fold the operations of a plan over a Catalog and sort what they answer into phases of steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osc.catalog.effects import apply_effects
from osc.compiler import composition, gates, partitioned, release
from osc.compiler.paths import columns_of_plan, lock_order
from osc.compiler.phases import phase_steps
from osc.compiler.sync import TablePairs, pairs_by_table
from osc.errors import Finding, Refused, Severity
from osc.program import Phase, PhaseProgram, Probe, Program, Proof, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osc.catalog import Catalog
    from osc.names import QName
    from osc.operations import Operation
    from osc.operations.parts import Part
    from osc.plan.model import Plan


@dataclass
class Draft:
    """What the fold over the operations gathered, before steps are made of it."""

    plan: Plan
    catalog: Catalog
    parts: list[Part] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    pairs: tuple[TablePairs, ...] = ()


def compile_plan(plan: Plan, catalog: Catalog) -> tuple[Program, tuple[Finding, ...]]:
    """Return the Program for ``plan`` on ``catalog`` and the warnings found on the way.

    Raises Refused with every finding, errors and warnings, when an operation objects.
    """
    draft = _fold(plan, catalog)
    draft.findings += composition.findings(plan, catalog, draft.parts)
    if any(finding.severity is Severity.ERROR for finding in draft.findings):
        raise Refused(
            f"plan {plan.id} cannot be run on these tables; nothing was changed",
            hint="mend what is listed, or the plan",
            findings=draft.findings,
        )
    draft.pairs = pairs_by_table(draft.parts, catalog, plan)
    return _program(draft), tuple(draft.findings)


def tables_of(plan: Plan) -> tuple[QName, ...]:
    """Return the tables that the operations of ``plan`` change and those its statements lock, each once."""
    operations = [table for operation in plan.operations for table in operation.tables()]
    locked = [table for phase in Phase for run in plan.phase(phase).run for table in run.lock]
    return tuple(dict.fromkeys((*operations, *locked)))


def types_of(plan: Plan, catalog: Catalog) -> tuple[str, ...]:
    """Return the types that compiling will ask about: those the plan names, and domains that its tables have."""
    named = [text for operation in plan.operations for text in operation.types_named()]
    domains = [column.type for table in catalog.tables for column in table.columns if column.type_kind == "d"]
    return tuple(dict.fromkeys((*named, *domains)))


def _fold(plan: Plan, catalog: Catalog) -> Draft:
    draft = Draft(plan, catalog)
    seen = catalog
    for number, operation in enumerate(plan.operations):
        path = ("operations", number, operation.kind)
        objections = [
            _placed(one, path) for one in (*operation.objections(seen), *_made_here(operation, seen, catalog))
        ]
        if plan.backfill.walk == "blocks":  # composition refuses what needs a key all the same
            objections = [one for one in objections if one.code != "C120"]
        draft.findings += objections
        if any(one.severity is Severity.ERROR for one in objections):
            continue  # later operations are still asked, on the shape without this one
        shape = seen if operation.proven_on_later_shape else catalog
        draft.proofs += [proof.model_copy(update={"path": (*path, *proof.path)}) for proof in operation.proofs(shape)]
        if _exists_now(operation, seen, catalog):
            draft.probes += [
                probe.model_copy(update={"path": (*path, *probe.path)}) for probe in operation.probes(catalog)
            ]
        draft.parts += operation.parts(seen, plan.id)
        seen = operation.after(seen, plan.id)
    return draft


def _made_here(operation: Operation, seen: Catalog, catalog: Catalog) -> Iterator[Finding]:
    """Some operations are about columns that are there; one that this plan makes has its rules where it is made."""
    for name, columns in operation.columns_named().items() if operation.made_here else ():
        before, now = catalog.table(name), seen.table(name)
        for column in columns:
            if before and now and now.column(column) and not before.column(column):
                yield Finding(
                    "V131",
                    f"column {name}.{column} is made or changed by an earlier operation of this plan",
                    operation.made_here,
                    path=("column",),
                )


def _placed(finding: Finding, path: tuple[str | int, ...]) -> Finding:
    return Finding(finding.code, finding.message, finding.hint, finding.severity, finding.place, (*path, *finding.path))


def _exists_now(operation: Operation, seen: Catalog, catalog: Catalog) -> bool:
    """A probe reads the tables as they are; an operation on what an earlier one will make has nothing to probe yet."""
    for name, columns in operation.columns_read_now(seen).items():
        table = catalog.table(name)
        if table is None or any(table.column(column) is None for column in columns):
            return False
    return True


def _program(draft: Draft) -> Program:
    plan, catalog = draft.plan, draft.catalog
    tables = lock_order(tables_of(plan), catalog)
    columns = columns_of_plan(plan, draft.parts, catalog)
    phases = tuple(_phases(draft, tables, partitioned.remembered(catalog, columns)))
    program = Program(
        plan_id=plan.id,
        plan_hash=plan.hash(),
        title=plan.title,
        tables=tables,
        columns_of_plan=columns,
        phases=phases,
        gates=gates.declared(plan),
        proofs=tuple(draft.proofs),
        probes=tuple(draft.probes),
    )
    return program.model_copy(update=release.promises(program, draft.parts))


def _phases(draft: Draft, tables: tuple[QName, ...], expected: Catalog) -> Iterator[PhaseProgram]:
    for phase in Phase:
        made = phase_steps(phase, draft.plan, draft.catalog, draft.parts, draft.pairs, tables)
        steps = tuple(_numbered(phase, (partitioned.reaching_leaves(step, draft.catalog) for step in made)))
        yield PhaseProgram(phase=phase, steps=steps, expects=expected)
        for step in steps:
            expected = apply_effects(expected, step.effects)


def _numbered(phase: Phase, steps: Iterable[Step]) -> Iterator[Step]:
    for number, step in enumerate(steps, 1):
        yield step.model_copy(update={"id": f"{phase.value}.{number:02d}.{step.id}"})


__all__ = ["compile_plan", "tables_of", "types_of"]
