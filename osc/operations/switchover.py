"""The switch of a replacement: what changes in the one transaction, and what makes undoing it catalog work.

S loses its checks, foreign keys and NOT NULL, so that it can never make a write of the new application fail. On the
way back they are added NOT VALID and validated first, while N still is the truth; then the switch is undone.
"""

from __future__ import annotations

from collections.abc import Iterator

from osc.catalog import Index
from osc.catalog.effects import RenameColumn, RenameConstraint, RenameIndex, SetColumn
from osc.names import QName, generated, quote
from osc.operations import aside, casts
from osc.operations.aside import Aside, Both
from osc.operations.parts import Part, Stage, SwitchPart
from osc.operations.replacement import Replacement
from osc.program.phase import Phase


def parts(new: Replacement) -> Iterator[Part]:
    """Yield the switch, then the steps behind it that do nothing forward and prepare the way back."""
    rules, both = _rules(new), Both()
    aside.set_aside(rules, both)
    if new.same_name:
        _swap_names(new, both)
        move_default(new, both)
    aside.restore(rules, both)
    yield SwitchPart(
        table=new.name,
        sql=tuple(both.do),
        undo=tuple(both.undo),
        effects=tuple(both.effects),
        undo_effects=tuple(both.back),
        also_locks=rules.also_locks,
    )
    yield from aside.way_back(rules, Phase.SWITCH, Stage.SWITCH)


def _rules(new: Replacement) -> Aside:
    constraints = tuple(twin.old for twin in new.constraint_twins)
    return Aside(new.table, new.source, new.source_after_switch, constraints, new.plan_id)


def _alter(new: Replacement) -> str:
    return f"ALTER TABLE {new.name.sql}"


def _swap_names(new: Replacement, both: Both) -> None:
    """N takes the name, S the retired one; indexes and constraints likewise."""
    old = new.source.name
    names = Both()
    for twin in new.index_twins:
        spare = set_aside_name(new, twin.old)
        _rename_index(new, twin.old, names, twin.old.name, spare)
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


__all__ = ["move_default", "parts", "set_aside_name"]
