"""What only the whole plan can object to: triggers the fill would fire, constraints that bind the old application."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from osc.catalog import Catalog, Table, Trigger
from osc.errors import Finding
from osc.operations.parts import ConstraintPart, IndexPart, Pair, Part
from osc.plan.model import Plan
from osc.plan.phases import AckGate
from osc.program import Phase


def findings(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Yield the objections to the plan as a whole."""
    yield from _fired_triggers(plan, catalog, parts)
    yield from _narrowing(plan, parts)
    yield from _irreversible_statements(plan)


def _fired_triggers(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """AFTER and statement triggers would fire for osc's batches; BEFORE row triggers are put back (section 5)."""
    tables = {part.table: {pair.target for pair in parts if isinstance(pair, Pair) and pair.table == part.table}
              for part in parts if isinstance(part, Pair)}  # fmt: skip
    for name, columns in tables.items():
        table = catalog.table(name)
        fired = [trigger for trigger in table.triggers if _fires(trigger, columns)] if table else []
        if plan.backfill.triggers is None and fired:
            yield Finding("C251", f"triggers of {name} would fire for every row that the fill writes: {', '.join(t.name for t in fired)}",
                          "say backfill: triggers: fire, or skip (needs SET on session_replication_role)", path=("backfill",))  # fmt: skip
        if plan.backfill.triggers == "skip" and table is not None:
            yield from _cannot_skip(catalog, table, fired)


def _fires(trigger: Trigger, columns: set[str]) -> bool:
    touches = not trigger.update_of or bool(columns & set(trigger.update_of))
    return (
        "update" in trigger.events
        and trigger.enabled in "OA"
        and touches
        and not (trigger.before and trigger.row)
        and not trigger.ours
    )


def _cannot_skip(catalog: Catalog, table: Table, fired: Sequence[Trigger]) -> Iterator[Finding]:
    if not catalog.server.may_set_replication_role:
        yield Finding("C302", f"role {catalog.server.role} may not set session_replication_role, which skipping triggers needs",
                      f"GRANT SET ON PARAMETER session_replication_role TO {catalog.server.role} (15 and later), or say fire",
                      path=("backfill", "triggers"))  # fmt: skip
    always = [trigger.name for trigger in fired if trigger.enabled == "A"]
    if always:
        yield Finding("C251", f"triggers of {table.name} are ENABLE ALWAYS and fire whatever the role: {', '.join(always)}",
                      "say triggers: fire if that is meant", path=("backfill", "triggers"))  # fmt: skip


def _narrowing(plan: Plan, parts: Sequence[Part]) -> Iterator[Finding]:
    """A rule that the old application does not know binds it from the moment it stands; somebody must say it complies."""
    if any(isinstance(gate, AckGate) for gate in plan.backfill.require):
        return
    for part in parts:
        if (
            isinstance(part, IndexPart | ConstraintPart)
            and part.narrowing
            and getattr(part, "phase", Phase.BACKFILL) is Phase.BACKFILL
        ):
            yield Finding("V153", f"{part.narrowing}; the old application still writes then",
                          "add backfill: require: [{ack: writers-comply}], or enforce_at: contract where the operation has it",
                          path=("backfill",))  # fmt: skip


def _irreversible_statements(plan: Plan) -> Iterator[Finding]:
    from osc.errors import Severity

    for phase in Phase:
        for number, run in enumerate(plan.phase(phase).run):
            if run.undo is None and phase is not Phase.CONTRACT:
                yield Finding("V154", f"this statement has no undo: the change cannot be rolled back past {phase.value}",
                              "give undo: (SELECT 1 if nothing is to be taken back)", Severity.WARNING,
                              path=(phase.value, "run", number))  # fmt: skip
            if "concurrently" in str(run.sql).lower():
                yield Finding("V152", "a statement under run is part of a transaction, which CONCURRENTLY cannot be",
                              "use create_index", path=(phase.value, "run", number, "sql"))  # fmt: skip
