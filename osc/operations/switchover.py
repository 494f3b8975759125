"""The switch of a replacement: what changes in the one transaction, and what makes undoing it catalog work.

S loses its checks, foreign keys and NOT NULL, so that it can never make a write of the new application fail. On the
way back they are added NOT VALID and validated first, while N still is the truth; then the switch is undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from osc.catalog import Index
from osc.catalog.effects import (
    AddConstraint,
    DropConstraint,
    Effect,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    SetColumn,
)
from osc.names import QName, generated, literal, quote
from osc.operations import belongings, casts
from osc.operations.parts import Ddl, Part, Stage, SwitchPart
from osc.operations.replacement import Replacement
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


def parts(new: Replacement) -> Iterator[Part]:
    """Yield the switch, then the steps behind it that do nothing forward and prepare the way back."""
    both = Both()
    _set_aside(new, both)
    if new.same_name:
        _swap_names(new, both)
        move_default(new, both)
    _restore(new, both)
    referenced = {twin.old.references for twin in new.constraint_twins} - {None, new.name}
    yield SwitchPart(
        table=new.name,
        sql=tuple(both.do),
        undo=tuple(both.undo),
        effects=tuple(both.effects),
        undo_effects=tuple(both.back),
        also_locks=tuple(TableLock(table=one, mode=Lock.ACCESS_EXCLUSIVE) for one in sorted(filter(None, referenced))),
    )
    yield from _way_back(new)


def _alter(new: Replacement) -> str:
    return f"ALTER TABLE {new.name.sql}"


def _set_aside(new: Replacement, both: Both) -> None:
    for twin in new.constraint_twins:
        both.do.append(f"{_alter(new)} DROP CONSTRAINT {quote(twin.old.name)}")
        both.effects.append(DropConstraint(table=new.name, name=twin.old.name))
    named = new.source_not_null
    if new.source.not_null or named is not None:
        both.do.append(f"{_alter(new)} ALTER COLUMN {quote(new.source.name)} DROP NOT NULL")
        both.effects.append(SetColumn(table=new.name, name=new.source.name, values={"not_null": False}))
    if named is not None:
        both.effects.append(DropConstraint(table=new.name, name=named.name))


def _swap_names(new: Replacement, both: Both) -> None:
    """N takes the name, S the retired one; indexes and constraints likewise."""
    old = new.source.name
    names = Both()
    for twin in new.index_twins:
        aside = set_aside_name(new, twin.old)
        _rename_index(new, twin.old, names, twin.old.name, aside)
        _rename_index(new, twin.old, names, twin.name, twin.old.name)
    for rule in new.constraint_twins:
        _rename_constraint(new, names, rule.name, rule.old.name)
    if new.carries_not_null and new.server_major >= 18 and new.not_null_name != new.final_not_null_name:
        _rename_constraint(new, names, new.not_null_name, new.final_not_null_name)
    both.do += [f"{_alter(new)} RENAME COLUMN {quote(old)} TO {quote(new.retired)}",
                f"{_alter(new)} RENAME COLUMN {quote(new.target)} TO {quote(old)}", *names.do]  # fmt: skip
    both.effects += [RenameColumn(table=new.name, name=old, to=new.retired),
                     RenameColumn(table=new.name, name=new.target, to=old), *names.effects]  # fmt: skip
    both.undo += [*reversed(names.undo), f"{_alter(new)} RENAME COLUMN {quote(old)} TO {quote(new.target)}",
                  f"{_alter(new)} RENAME COLUMN {quote(new.retired)} TO {quote(old)}"]  # fmt: skip
    both.back += [*reversed(names.back), RenameColumn(table=new.name, name=old, to=new.target),
                  RenameColumn(table=new.name, name=new.retired, to=old)]  # fmt: skip


def set_aside_name(new: Replacement, old: Index) -> str:
    """Return the name an index of S has from switch on, where N's takes its own."""
    return generated(old.name, "old", new.plan_id)


def _rename_index(new: Replacement, old: Index, names: Both, name: str, to: str) -> None:
    """Through its constraint where it has one, so that both keep one name."""
    if old.constraint is not None:
        return _rename_constraint(new, names, name, to)
    names.do.append(f"ALTER INDEX {QName(new.name.schema, name).sql} RENAME TO {quote(to)}")
    names.undo.append(f"ALTER INDEX {QName(new.name.schema, to).sql} RENAME TO {quote(name)}")
    names.effects.append(RenameIndex(table=new.name, name=name, to=to))
    names.back.append(RenameIndex(table=new.name, name=to, to=name))


def _rename_constraint(new: Replacement, names: Both, name: str, to: str) -> None:
    names.do.append(f"{_alter(new)} RENAME CONSTRAINT {quote(name)} TO {quote(to)}")
    names.undo.append(f"{_alter(new)} RENAME CONSTRAINT {quote(to)} TO {quote(name)}")
    names.effects.append(RenameConstraint(table=new.name, name=name, to=to))
    names.back.append(RenameConstraint(table=new.name, name=to, to=name))


def move_default(new: Replacement, both: Both) -> None:
    """S, out of reach by now, gives its default up and N gets its own; a serial's sequence moves with it.

    For the way back N must be called ``final`` and S ``source`` again behind what ``both.undo`` holds so far.
    """
    source, column = new.source, f"{_alter(new)} ALTER COLUMN"
    if source.default is not None:
        both.do.append(f"{column} {quote(new.retired)} DROP DEFAULT")
        both.undo.append(f"{column} {quote(source.name)} SET DEFAULT {source.default}")
        both.effects.append(SetColumn(table=new.name, name=new.retired, values={"default": None}))
        both.back.append(SetColumn(table=new.name, name=source.name, values={"default": source.default}))
    if new.default is not None:
        written = {"default": new.default, "default_as_written": True}
        both.do.append(f"{column} {quote(new.final)} SET DEFAULT {new.default}")
        both.undo.insert(0, f"{column} {quote(new.final)} DROP DEFAULT")
        both.effects.append(SetColumn(table=new.name, name=new.final, values=written))
        both.back.insert(0, SetColumn(table=new.name, name=new.final, values={"default": None}))
    if source.owned_sequence is not None:
        wider = casts.wider_integer(source.owned_sequence_type, new.type)
        both.do += _sequence(source.owned_sequence, new.name, new.final, new.type if wider else None)
        both.undo += _sequence(
            source.owned_sequence, new.name, source.name, source.owned_sequence_type if wider else None
        )


def _sequence(sequence: QName, table: QName, column: str, resized: str | None) -> list[str]:
    alter = f"ALTER SEQUENCE {sequence.sql}"
    return [*([f"{alter} AS {resized}"] if resized else []), f"{alter} OWNED BY {table.sql}.{quote(column)}"]


# ----------------------------------------------------------------------------------------------- the way back


@dataclass(frozen=True)
class _Lost:
    """A rule that S lost at switch: what it is called, and how it is written while S has its later name."""

    name: str
    definition: str
    validated: bool = True
    references: QName | None = None
    comment: str | None = None


def _lost(new: Replacement) -> Iterator[_Lost]:
    now = new.source_after_switch
    for twin in new.constraint_twins:
        definition = belongings.rewritten(twin.old, new.source.name, now) or ""
        yield _Lost(twin.old.name, definition, twin.old.validated, twin.old.references, twin.old.comment)
    if (named := new.source_not_null) is not None:
        yield _Lost(named.name, f"NOT NULL {quote(now)}", named.validated, None, named.comment)
    elif new.source.not_null:
        yield _Lost("", f"CHECK ({quote(now)} IS NOT NULL)")


def _spare(new: Replacement, rule: _Lost) -> str:
    return generated(rule.name or "not_null." + new.source.name, "back", new.plan_id)


def _restore(new: Replacement, both: Both) -> None:
    """The undo's end: the rules of S, proven by then, get their names; before 18 NOT NULL comes from a proven check."""
    for rule in _lost(new):
        spare = quote(_spare(new, rule))
        if not rule.name:
            both.undo += [f"{_alter(new)} ALTER COLUMN {quote(new.source.name)} SET NOT NULL",
                          f"{_alter(new)} DROP CONSTRAINT {spare}"]  # fmt: skip
            continue
        both.undo.append(f"{_alter(new)} RENAME CONSTRAINT {spare} TO {quote(rule.name)}")
        if rule.comment is not None:
            both.undo.append(f"COMMENT ON CONSTRAINT {quote(rule.name)} ON {new.name.sql} IS {literal(rule.comment)}")
    for twin in new.constraint_twins:
        # What the server words is the same again; the oid is another.
        again = twin.old.model_copy(update={"oid": None})
        both.back.append(AddConstraint(table=new.name, constraint=again))
    if new.source_not_null is not None:
        both.back.append(AddConstraint(table=new.name, constraint=new.source_not_null.model_copy(update={"oid": None})))
    if new.source.not_null:
        both.back.append(SetColumn(table=new.name, name=new.source.name, values={"not_null": True}))


def _way_back(new: Replacement) -> Iterator[Ddl]:
    """Undoing goes last step first: each rule is added NOT VALID, then validated, then the switch is undone."""
    for rule in _lost(new):
        spare, shown = quote(_spare(new, rule)), rule.name or f"NOT NULL of {new.source.name}"
        if rule.validated:
            yield _undo_only(
                new,
                f"validate.{_spare(new, rule)}",
                f"On the way back, validate {shown} of the old column",
                f"{_alter(new)} VALIDATE CONSTRAINT {spare}",
                Lock.SHARE_UPDATE_EXCLUSIVE,
            )
        mode = Lock.ACCESS_EXCLUSIVE if rule.references is None else Lock.SHARE_ROW_EXCLUSIVE
        yield _undo_only(
            new,
            f"restore.{_spare(new, rule)}",
            f"On the way back, add {shown} of the old column, not yet validated",
            f"{_alter(new)} ADD CONSTRAINT {spare} {rule.definition} NOT VALID",
            mode,
            rule.references,
        )


def _undo_only(new: Replacement, label: str, title: str, undo: str, mode: Lock, references: QName | None = None) -> Ddl:
    tables = [new.name] if references is None or references == new.name else [references, new.name]
    return Ddl(
        phase=Phase.SWITCH,
        stage=Stage.SWITCH,
        label=label,
        title=title,
        sql=(),
        undo=(undo,),
        undo_locks=tuple(TableLock(table=table, mode=mode) for table in tables),
        duration=Duration.SCAN if mode is Lock.SHARE_UPDATE_EXCLUSIVE else Duration.INSTANT,
    )


__all__ = ["Both", "move_default", "parts", "set_aside_name"]
