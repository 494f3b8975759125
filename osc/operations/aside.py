"""The rules of a column that goes, set aside so that they refuse nothing, and proven again before it comes back.

Checks, foreign keys and NOT NULL go in the transaction that makes the column the past. On the way back they are added
NOT VALID and validated first, in steps that do nothing forward; then they get their names, in the undo of that transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from osc.catalog import Column, Constraint, Table
from osc.catalog.effects import AddConstraint, DropConstraint, Effect, SetColumn
from osc.names import QName, generated, literal, quote
from osc.operations import belongings
from osc.operations.nullability import not_null_constraint
from osc.operations.parts import Ddl, Stage
from osc.program.duration import Duration
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


@dataclass
class Both:
    """Statements and effects of a transaction and of its undo, gathered side by side."""

    do: list[str] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    back: list[Effect] = field(default_factory=list)


def retired_name(table: QName, column: str, plan_id: str) -> str:
    """Return what an old column is called once it is out of reach."""
    return generated(column, str(table), plan_id, prefix="osc_old")


@dataclass(frozen=True)
class Aside:
    """What of ``column`` is set aside: ``constraints`` (checks and foreign keys), and its NOT NULL.

    ``later`` is what the column is called while they are.
    """

    table: Table
    column: Column
    later: str
    constraints: tuple[Constraint, ...]
    plan_id: str

    @property
    def name(self) -> QName:
        return self.table.name

    @property
    def not_null(self) -> Constraint | None:
        """The NOT NULL constraint, on servers that have them (18 and later); it may be not yet validated."""
        return not_null_constraint(self.table, self.column.name)

    @property
    def alter(self) -> str:
        return f"ALTER TABLE {self.name.sql}"

    @property
    def also_locks(self) -> tuple[TableLock, ...]:
        """The tables that its foreign keys refer to, which dropping these locks as well."""
        referenced = {one.references for one in self.constraints} - {None, self.name}
        return tuple(TableLock(table=one, mode=Lock.ACCESS_EXCLUSIVE) for one in sorted(filter(None, referenced)))


def set_aside(rules: Aside, both: Both) -> None:
    """Drop the rules, while the column still has its own name."""
    for one in rules.constraints:
        both.do.append(f"{rules.alter} DROP CONSTRAINT {quote(one.name)}")
        both.effects.append(DropConstraint(table=rules.name, name=one.name))
    if rules.column.not_null or rules.not_null is not None:
        both.do.append(f"{rules.alter} ALTER COLUMN {quote(rules.column.name)} DROP NOT NULL")
        both.effects.append(SetColumn(table=rules.name, name=rules.column.name, values={"not_null": False}))
    if rules.not_null is not None:
        both.effects.append(DropConstraint(table=rules.name, name=rules.not_null.name))


def restore(rules: Aside, both: Both) -> None:
    """The undo's end, with the column's own name back: proven by then, they get theirs.

    Before 18 NOT NULL comes from a proven check.
    """
    for rule in _lost(rules):
        spare = quote(_spare(rules, rule))
        if not rule.name:
            both.undo += [f"{rules.alter} ALTER COLUMN {quote(rules.column.name)} SET NOT NULL",
                          f"{rules.alter} DROP CONSTRAINT {spare}"]  # fmt: skip
            continue
        both.undo.append(f"{rules.alter} RENAME CONSTRAINT {spare} TO {quote(rule.name)}")
        if rule.comment is not None:
            both.undo.append(f"COMMENT ON CONSTRAINT {quote(rule.name)} ON {rules.name.sql} IS {literal(rule.comment)}")
    for one in (*rules.constraints, *([rules.not_null] if rules.not_null is not None else [])):
        # What the server words is the same again; the oid is another.
        both.back.append(AddConstraint(table=rules.name, constraint=one.model_copy(update={"oid": None})))
    if rules.column.not_null:
        both.back.append(SetColumn(table=rules.name, name=rules.column.name, values={"not_null": True}))


def way_back(rules: Aside, phase: Phase, stage: Stage) -> Iterator[Ddl]:
    """Yield steps whose undo, last first, adds each rule NOT VALID and then validates it."""
    for rule in _lost(rules):
        spare, shown = quote(_spare(rules, rule)), rule.name or f"NOT NULL of {rules.column.name}"
        if rule.validated:
            yield _undo_only(
                rules,
                (phase, stage),
                f"validate.{_spare(rules, rule)}",
                f"On the way back, validate {shown} of the old column",
                f"{rules.alter} VALIDATE CONSTRAINT {spare}",
                Lock.SHARE_UPDATE_EXCLUSIVE,
            )
        mode = Lock.ACCESS_EXCLUSIVE if rule.references is None else Lock.SHARE_ROW_EXCLUSIVE
        yield _undo_only(
            rules,
            (phase, stage),
            f"restore.{_spare(rules, rule)}",
            f"On the way back, add {shown} of the old column, not yet validated",
            f"{rules.alter} ADD CONSTRAINT {spare} {rule.definition} NOT VALID",
            mode,
            rule.references,
        )


@dataclass(frozen=True)
class _Lost:
    """A rule that is set aside: what it is called, and how it is written while the column has its later name."""

    name: str
    definition: str
    validated: bool = True
    references: QName | None = None
    comment: str | None = None


def _lost(rules: Aside) -> Iterator[_Lost]:
    for one in rules.constraints:
        definition = belongings.rewritten(one, rules.column.name, rules.later) or ""
        yield _Lost(one.name, definition, one.validated, one.references, one.comment)
    if (named := rules.not_null) is not None:
        yield _Lost(named.name, f"NOT NULL {quote(rules.later)}", named.validated, None, named.comment)
    elif rules.column.not_null:
        yield _Lost("", f"CHECK ({quote(rules.later)} IS NOT NULL)")


def _spare(rules: Aside, rule: _Lost) -> str:
    return generated(rule.name or "not_null." + rules.column.name, "back", rules.plan_id)


def _undo_only(
    rules: Aside,
    where: tuple[Phase, Stage],
    label: str,
    title: str,
    undo: str,
    mode: Lock,
    references: QName | None = None,
) -> Ddl:
    tables = [rules.name] if references is None or references == rules.name else [references, rules.name]
    return Ddl(
        phase=where[0],
        stage=where[1],
        label=label,
        title=title,
        sql=(),
        undo=(undo,),
        undo_locks=tuple(TableLock(table=table, mode=mode) for table in tables),
        duration=Duration.SCAN if mode is Lock.SHARE_UPDATE_EXCLUSIVE else Duration.INSTANT,
    )
