"""What only the whole plan can object to: triggers the fill would fire, constraints that bind the old application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.catalog.effects import SetColumn
from osc.compiler import partitioned
from osc.errors import Finding, Severity
from osc.operations.objections import unkeyed
from osc.operations.parts import ConstraintPart, Ddl, IndexPart, Leaving, Pair, Part
from osc.operations.tokens import identifiers
from osc.plan.phases import AckGate
from osc.plan.statements import contradictions
from osc.program import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.catalog import Catalog, Table, Trigger
    from osc.names import QName
    from osc.plan.model import Plan


def findings(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Yield the objections to the plan as a whole."""
    yield from _unsound_builds(catalog, parts)
    yield from partitioned.findings(catalog, parts)
    yield from _made_before(plan, catalog, parts)
    yield from _reads_generated(catalog, parts)
    yield from _own_values(plan, catalog, parts)
    yield from _leaving(plan, parts)
    yield from _rebuilt_at_switch(parts)
    yield from _keys(catalog, parts)
    yield from _fired_triggers(plan, catalog, parts)
    yield from _narrowing(plan, parts)
    yield from _irreversible_statements(plan)
    yield from contradictions(plan)


def _unsound_builds(catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Any concurrent build, also that of a twin, could leave rows out on 14.0 to 14.3 (release notes of 14.4)."""
    if 140_000 <= catalog.server.version_num < 140_004 and any(isinstance(part, IndexPart) for part in parts):
        yield Finding(
            "C110",
            "CREATE INDEX CONCURRENTLY can corrupt indexes on PostgreSQL 14.0 to 14.3",
            "update the server to 14.4 or later",
            path=("operations",),
        )


def _made_before(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Pairs of a table are kept in step by one trigger, each from the row as written: a chain of them would not be."""
    made: set[tuple[QName, str]] = set()
    for pair in (part for part in parts if isinstance(part, Pair)):
        table = catalog.table(pair.table)
        known = {column.name for column in table.columns} if table else set()
        if pair.source is not None and (pair.table, pair.source) in made:
            yield Finding(
                "V131",
                f"column {pair.table}.{pair.source} is made or changed by an earlier operation of this plan",
                "say both in one operation, or in two plans",
                path=("operations",),
            )
        read = sorted(name for name in identifiers(pair.up) if (pair.table, name) in made and name not in known)
        if read and pair.source not in read:
            yield Finding(
                "V156",
                f"up of {pair.table}.{pair.final} reads {read[0]}, which an earlier operation of this plan makes",
                "read the old column: both are filled from the row as it is",
                path=("operations",),
            )
        made.add((pair.table, pair.final))


def _reads_generated(catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """A generated column is computed after the BEFORE triggers, and a virtual one never stored: ours would see NULL (F47)."""
    said = [(one.table, one.final, (("up", one.up), ("down", one.down or "")))
            for one in parts if isinstance(one, Pair)]  # fmt: skip
    said += [(one.table, one.column, (("down", one.value or ""), ("up", "")))
             for one in parts if isinstance(one, Leaving)]  # fmt: skip
    for table_name, column, texts in said:
        table = catalog.table(table_name)
        generated = {column.name: column for column in table.columns if column.generated} if table else {}
        for field, text in texts:
            for name in sorted(identifiers(text) & generated.keys()):
                yield Finding(
                    "C213",
                    f"{field} of {table_name}.{column} reads {name}, a generated column, which no trigger sees",
                    f"write what it is made of instead: {generated[name].default}",
                    path=("operations",),
                )


def _own_values(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """What a fill writes into the application's own columns is no input of another value that is computed beside it."""
    pairs = [part for part in parts if isinstance(part, Pair)]
    for own in (pair for pair in pairs if pair.keeps):
        beside = [pair for pair in pairs if pair.table == own.table and pair is not own]
        for other in beside:
            if own.final in (other.final, other.source):
                yield Finding(
                    "V131",
                    f"column {own.table}.{own.final} is made or changed by another operation of this plan, too",
                    "say both in one operation, or in two plans",
                    path=("operations",),
                )
            elif own.final in identifiers(other.up) | identifiers(other.down or ""):
                yield Finding(
                    "V156",
                    f"the value of {own.table}.{other.final} is computed from {own.final}, which this plan fills",
                    f"fill {own.final} in a plan of its own first",
                    path=("operations",),
                )
            elif other.phase is not own.phase:
                yield Finding(
                    "V157",
                    f"{own.table} is filled in {other.phase} and again in {own.phase}: one pass is to do both",
                    "leave enforce_at out here and there, or make two plans",
                    path=("operations",),
                )
        yield from _unchecked(plan, catalog, own)


def _unchecked(plan: Plan, catalog: Catalog, own: Pair) -> Iterator[Finding]:
    """Skipping triggers skips those of foreign keys as well (session_replication_role), and orphans would get in."""
    table = catalog.table(own.table)
    keys = [one for one in table.constraints if one.type == "f" and own.final in one.columns] if table else []
    if plan.backfill.triggers == "skip" and keys:
        yield Finding(
            "C251",
            f"skipping triggers would skip the check of foreign key {keys[0].name} on {own.table}.{own.final}",
            "say triggers: fire if that is meant, or drop the foreign key for the time of the change",
            path=("backfill", "triggers"),
        )


def _leaving(plan: Plan, parts: Sequence[Part]) -> Iterator[Finding]:
    """A column that goes is there until contract: no other operation may change it, build on it or take its name."""
    leaving = [part for part in parts if isinstance(part, Leaving)]
    for one in leaving:
        named = [op for op in plan.operations if one.column in op.columns_named().get(one.table, ())]
        if len(named) > 1:
            yield Finding(
                "V131",
                f"column {one.table}.{one.column} is dropped by this plan, and named by another operation, too: "
                f"{', '.join(op.describe() for op in named)}",
                "make two plans: the column and its name are in use until contract",
                path=("operations",),
            )
        gone = {other.column for other in leaving if other.table == one.table and other is not one}
        for name in sorted(gone & identifiers(one.value or "")):
            yield Finding(
                "V156",
                f"down of {one.table}.{one.column} reads {name}, which this plan drops as well",
                "read a column that stays",
                path=("operations",),
            )


def _rebuilt_at_switch(parts: Sequence[Part]) -> Iterator[Finding]:
    """ALTER COLUMN TYPE rebuilds expression and partial indexes on the column under its lock, new ones as well."""
    changed = {
        (effect.table, effect.name)
        for part in parts
        if isinstance(part, Ddl) and part.phase is Phase.SWITCH
        for effect in part.effects
        if isinstance(effect, SetColumn) and "type" in effect.values
    }
    for part in parts:
        if isinstance(part, IndexPart) and part.phase is Phase.BACKFILL and (part.partial or None in part.columns):
            read = [column for column in part.uses if (part.table, column) in changed]
            if read:
                yield Finding(
                    "C233",
                    f"index {part.name} has an expression or predicate over {read[0]}, whose type this plan changes "
                    "in the catalog: the server would build it again under its lock",
                    "create this index in a plan of its own",
                    path=("operations",),
                )


def _keys(catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """Fill and verification page by a key, under the same name and type before the switch and behind it."""
    for pair in (part for part in parts if isinstance(part, Pair)):
        table = catalog.table(pair.table)
        key = table.paging_key() if table else None
        if table is not None and key is None and pair.keeps:
            found = unkeyed(table)
            yield Finding(
                found.code,
                f"{found.message}; what the fill overwrites is kept by it",
                "add a primary key first",
                path=("operations",),
            )
        if key is not None and pair.source is not None and pair.source in key.columns:
            yield Finding(
                "C121",
                f"{pair.table} can only be paged by {', '.join(filter(None, key.columns))}, which this plan changes",
                "add a primary key, or another unique key of columns that are not null",
                path=("operations",),
            )


def _fired_triggers(plan: Plan, catalog: Catalog, parts: Sequence[Part]) -> Iterator[Finding]:
    """AFTER and statement triggers would fire for osc's batches; BEFORE row triggers are put back (section 5)."""
    tables = {part.table: {pair.target for pair in parts if isinstance(pair, Pair) and pair.table == part.table}
              for part in parts if isinstance(part, Pair)}  # fmt: skip
    for name, columns in tables.items():
        table = catalog.table(name)
        fired = [trigger for trigger in table.triggers if _fires(trigger, columns)] if table else []
        if plan.backfill.triggers is None and fired:
            yield Finding(
                "C251",
                f"triggers of {name} would fire for every row that the fill writes: {', '.join(t.name for t in fired)}",
                "say backfill: triggers: fire, or skip (needs SET on session_replication_role)",
                path=("backfill",),
            )
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
        yield Finding(
            "C302",
            f"role {catalog.server.role} may not set session_replication_role, which skipping triggers needs",
            f"GRANT SET ON PARAMETER session_replication_role TO {catalog.server.role} (15 and later), or say fire",
            path=("backfill", "triggers"),
        )
    always = [trigger.name for trigger in fired if trigger.enabled == "A"]
    if always:
        yield Finding(
            "C251",
            f"triggers of {table.name} are ENABLE ALWAYS and fire whatever the role: {', '.join(always)}",
            "say triggers: fire if that is meant",
            path=("backfill", "triggers"),
        )


def _narrowing(plan: Plan, parts: Sequence[Part]) -> Iterator[Finding]:
    """A rule that the old application does not know binds it as soon as it stands; somebody must say it complies."""
    if any(isinstance(gate, AckGate) for gate in plan.backfill.require):
        return
    for part in parts:
        if (
            isinstance(part, IndexPart | ConstraintPart)
            and part.narrowing
            and getattr(part, "phase", Phase.BACKFILL) is Phase.BACKFILL
        ):
            yield Finding(
                "V153",
                f"{part.narrowing}; the old application still writes then",
                "add backfill: require: [{ack: writers-comply}], or enforce_at: contract where the operation has it",
                path=("backfill",),
            )


def _irreversible_statements(plan: Plan) -> Iterator[Finding]:
    for phase in Phase:
        for number, run in enumerate(plan.phase(phase).run):
            if run.undo is None and phase is not Phase.CONTRACT:
                yield Finding(
                    "V154",
                    f"this statement has no undo: the change cannot be rolled back past {phase.value}",
                    "give undo: (SELECT 1 if nothing is to be taken back)",
                    Severity.WARNING,
                    path=(phase.value, "run", number),
                )
