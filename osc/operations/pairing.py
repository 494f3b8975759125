"""The recipe shared by operations that put a new column in the place of an old one.

Expand adds N; dual_write keeps both in step; backfill fills N and gives it S's indexes and constraints; switch makes
N the truth; contract takes S out of reach and then drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from osc.catalog import Column, Constraint, Index, Table
from osc.catalog.effects import (
    AddColumn,
    AddConstraint,
    DropColumn,
    DropConstraint,
    Effect,
    RenameColumn,
    RenameConstraint,
    RenameIndex,
    SetColumn,
)
from osc.names import QName, generated, quote
from osc.operations import belongings, casts
from osc.operations.immutable_forms import cannot_raise
from osc.operations.nullability import not_null, not_null_name
from osc.operations.parts import (
    AnalyzePart,
    ConstraintPart,
    Ddl,
    DropIndexPart,
    IndexPart,
    Pair,
    Part,
    Stage,
    SwitchPart,
)
from osc.program.duration import Duration
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


@dataclass(frozen=True)
class Replacement:
    """One column taking another's place. ``to`` is ``None`` where it keeps the name."""

    table: Table
    source: Column
    to: str | None
    type: str
    up: str
    down: str | None
    not_null: bool
    default: str | None
    """N's own default from retire (or switch, under one name) on; SQL."""
    plan_id: str
    server_major: int

    @cached_property
    def name(self) -> QName:
        return self.table.name

    @property
    def same_name(self) -> bool:
        return self.to is None

    @property
    def final(self) -> str:
        return self.to or self.source.name

    @property
    def target(self) -> str:
        """N's name until switch."""
        return self.to or generated(self.source.name, str(self.name), self.plan_id, prefix="osc_new")

    @property
    def retired(self) -> str:
        """S's name once it is out of reach."""
        return generated(self.source.name, str(self.name), self.plan_id, prefix="osc_old")

    @property
    def source_after_switch(self) -> str:
        return self.retired if self.same_name else self.source.name

    @cached_property
    def plain_up(self) -> bool:
        return casts.is_plain_cast(self.up, self.source.name)

    @cached_property
    def up_may_fail(self) -> bool:
        if self.plain_up:
            return casts.cast_limit(self.source.type, self.type) != ""
        return not cannot_raise(self.up, frozenset(column.name for column in self.table.columns))

    @cached_property
    def down_may_fail(self) -> bool:
        if self.down is None:
            return False
        if casts.is_plain_cast(self.down, self.final):
            return casts.cast_limit(self.type, self.source.type) != ""
        return not cannot_raise(self.down, frozenset({*(column.name for column in self.table.columns), self.final}))

    @property
    def injective(self) -> bool:
        return self.plain_up and casts.keeps_values_apart(self.source.type, self.type)

    def narrowing(self, what: str) -> str:
        """Return why a constraint of S on N may refuse OLD's writes, or an empty string if it cannot."""
        if self.plain_up and not self.up_may_fail:
            return ""
        return f"{what}: up may give a value that it refuses"


def parts(new: Replacement) -> tuple[Part, ...]:
    """Return all parts of a replacement, in order."""
    return tuple(_parts(new))


def _parts(new: Replacement) -> Iterator[Part]:
    yield _add_column(new)
    yield _pair(new)
    yield from _indexes(new)
    yield from _constraints(new)
    yield AnalyzePart(table=new.name, columns=(new.target,))
    yield from _switch(new)
    yield from _retire(new)
    yield from _drop(new)


def _strong(new: Replacement) -> tuple[TableLock, ...]:
    return (TableLock(table=new.name, mode=Lock.ACCESS_EXCLUSIVE),)


def _alter(new: Replacement) -> str:
    return f"ALTER TABLE {new.name.sql}"


def _add_column(new: Replacement) -> Ddl:
    collate = f" COLLATE {new.source.collation}" if new.source.collation and _collatable(new.type) else ""
    column = Column(name=new.target, number=0, type=new.type)
    return Ddl(
        phase=Phase.EXPAND,
        label=f"add_column.{new.name.name}.{new.target}",
        title=f"Add {new.name}.{new.target} {new.type}, empty",
        sql=(f"{_alter(new)} ADD COLUMN {quote(new.target)} {new.type}{collate}",
             *belongings.attributes(new.name, new.source, new.target)),
        undo=(f"{_alter(new)} DROP COLUMN {quote(new.target)}",),
        locks=_strong(new),
        effects=(AddColumn(table=new.name, column=column),),
        undo_effects=(DropColumn(table=new.name, name=new.target),),
        note="A column without default is a catalog change; no row is read or written.",
    )  # fmt: skip


def _collatable(type_name: str) -> bool:
    return casts.base(type_name)[0] in ("text", "character varying", "character", "name")


def _pair(new: Replacement) -> Pair:
    source = new.source
    return Pair(
        table=new.name,
        source=source.name,
        target=new.target,
        final=new.final,
        retired=new.retired,
        source_type=source.type,
        target_type=new.type,
        up=new.up,
        down=new.down,
        same_name=new.same_name,
        source_default=source.default,
        source_not_null=source.not_null,
        target_not_null=new.not_null,
        source_image=casts.compare_by_image(source.type, deterministic=source.collation_deterministic),
        target_image=casts.compare_by_image(new.type, deterministic=source.collation_deterministic),
        up_may_fail=new.up_may_fail,
        down_may_fail=new.down_may_fail,
        up_limit=(casts.cast_limit(source.type, new.type) or "") if new.plain_up else "",
        down_limit=(casts.cast_limit(new.type, source.type) or "")
        if new.down and casts.is_plain_cast(new.down, new.final)
        else "",
    )


def _indexes(new: Replacement) -> Iterator[Part]:
    for twin in _index_twins(new):
        unique = twin.old.unique
        yield IndexPart(
            table=new.name,
            name=twin.name,
            unique=unique,
            on=twin.on,
            columns=twin.columns,
            uses=twin.uses,
            comment=twin.old.comment,
            title=f"Build {twin.name}, the twin of {twin.old.name}",
            narrowing=""
            if not unique or new.injective
            else f"unique index {twin.name}: up may make equal values of different ones",
        )
        constraint = new.table.constraint(twin.old.constraint or "")
        if constraint is not None:
            yield _unique_constraint(new, twin.name, constraint.deferrable, constraint.deferred)


def _index_twins(new: Replacement) -> tuple[belongings.IndexTwin, ...]:
    return belongings.index_twins(new.table, new.source.name, new.target, final=new.final, helper=new.same_name)


def _constraint_twins(new: Replacement) -> tuple[belongings.ConstraintTwin, ...]:
    return belongings.constraint_twins(new.table, new.source.name, new.target, final=new.final, helper=new.same_name)


def _unique_constraint(new: Replacement, index: str, deferrable: bool, deferred: bool) -> Ddl:
    suffix = (" DEFERRABLE" if deferrable else "") + (" INITIALLY DEFERRED" if deferred else "")
    constraint = Constraint(name=index, type="u", columns=(new.target,), index=index)
    return Ddl(
        phase=Phase.BACKFILL,
        stage=Stage.AFTER_FILL,
        label=f"unique.{new.name.name}.{index}",
        title=f"Make the built index the unique constraint {index}",
        sql=(f"{_alter(new)} ADD CONSTRAINT {quote(index)} UNIQUE USING INDEX {quote(index)}{suffix}",),
        undo=(f"{_alter(new)} DROP CONSTRAINT {quote(index)}",),
        locks=_strong(new),
        effects=(AddConstraint(table=new.name, constraint=constraint),),
        undo_effects=(DropConstraint(table=new.name, name=index),),
    )


def _constraints(new: Replacement) -> Iterator[Part]:
    for twin in _constraint_twins(new):
        kind = twin.old.type
        yield ConstraintPart(
            table=new.name,
            name=twin.name,
            type="f" if kind == "f" else "c",
            columns=twin.columns,
            add=f"{_alter(new)} ADD CONSTRAINT {quote(twin.name)} {twin.definition} NOT VALID",
            references=twin.old.references,
            validate_it=twin.old.validated,
            comment=twin.old.comment,
            title=f"Add {twin.name}, the twin of {twin.old.name}",
            narrowing=new.narrowing(f"constraint {twin.name}"),
        )
    if new.not_null:
        name = generated("nn", new.target, new.plan_id) if new.same_name else ""
        yield not_null(
            new.table,
            new.target,
            new.server_major,
            name=name,
            narrowing=new.narrowing(f"NOT NULL on {new.final}"),
        )


def _switch(new: Replacement) -> Iterator[Part]:
    alter = _alter(new)
    source = new.source
    do: list[str] = []
    undo: list[str] = []
    effects: list[Effect] = []
    back: list[Effect] = []
    twins = _constraint_twins(new)
    for twin in twins:
        do.append(f"{alter} DROP CONSTRAINT {quote(twin.old.name)}")
        effects.append(DropConstraint(table=new.name, name=twin.old.name))
    if source.not_null:
        do.append(f"{alter} ALTER COLUMN {quote(source.name)} DROP NOT NULL")
        effects.append(SetColumn(table=new.name, name=source.name, values={"not_null": False}))
        back.append(SetColumn(table=new.name, name=new.source_after_switch, values={"not_null": True}))
    if new.same_name:
        _swap_names(new, do, undo, effects, back)
    # The way back: what S lost comes back first NOT VALID, then validated, and only then is S the truth again.
    yield SwitchPart(
        table=new.name,
        sql=tuple(do),
        undo=tuple(undo) + _restore_source(new, twins),
        effects=tuple(effects),
        undo_effects=tuple(back),
        also_locks=tuple(
            TableLock(table=twin.old.references, mode=Lock.ACCESS_EXCLUSIVE)
            for twin in twins
            if twin.old.references is not None and twin.old.references != new.name
        ),
    )
    yield from _way_back(new, twins)


def _swap_names(new: Replacement, do: list[str], undo: list[str], effects: list[Effect], back: list[Effect]) -> None:
    """N takes the name, S the retired one; indexes and constraints likewise; the default moves to N."""
    alter, old = _alter(new), new.source.name
    do += [f"{alter} RENAME COLUMN {quote(old)} TO {quote(new.retired)}",
           f"{alter} RENAME COLUMN {quote(new.target)} TO {quote(old)}"]  # fmt: skip
    effects += [
        RenameColumn(table=new.name, name=old, to=new.retired),
        RenameColumn(table=new.name, name=new.target, to=old),
    ]
    names_back: list[str] = []
    for twin in _index_twins(new):
        aside = generated(twin.old.name, "old", new.plan_id)
        rename, effect = _rename_index(new, twin.old)
        do += [rename(twin.old.name, aside), rename(twin.name, twin.old.name)]
        effects += [effect(twin.old.name, aside), effect(twin.name, twin.old.name)]
        names_back += [rename(twin.old.name, twin.name), rename(aside, twin.old.name)]
        back += [effect(twin.old.name, twin.name), effect(aside, twin.old.name)]
    for rule in _constraint_twins(new):
        do.append(f"{alter} RENAME CONSTRAINT {quote(rule.name)} TO {quote(rule.old.name)}")
        effects.append(RenameConstraint(table=new.name, name=rule.name, to=rule.old.name))
        names_back.append(f"{alter} RENAME CONSTRAINT {quote(rule.old.name)} TO {quote(rule.name)}")
        back.append(RenameConstraint(table=new.name, name=rule.old.name, to=rule.name))
    named = not_null_name(new.table, old)
    if new.not_null and named is not None:
        # On 18 NOT NULL has a name; N's takes the one that S's had, so that a dump looks as before.
        ours = generated("nn", new.target, new.plan_id)
        do.append(f"{alter} RENAME CONSTRAINT {quote(ours)} TO {quote(named)}")
        names_back.append(f"{alter} RENAME CONSTRAINT {quote(named)} TO {quote(ours)}")
    undo += names_back
    undo += [f"{alter} RENAME COLUMN {quote(old)} TO {quote(new.target)}",
             f"{alter} RENAME COLUMN {quote(new.retired)} TO {quote(old)}"]  # fmt: skip
    back += [
        RenameColumn(table=new.name, name=old, to=new.target),
        RenameColumn(table=new.name, name=new.retired, to=old),
    ]
    _move_default(new, do, undo, effects, back)


def _rename_index(new: Replacement, index: Index) -> tuple[Callable[[str, str], str], Callable[[str, str], Effect]]:
    """Return how an index is renamed: through its constraint where it has one, so that both keep one name."""
    if index.constraint is not None:
        return (
            lambda name, to: f"{_alter(new)} RENAME CONSTRAINT {quote(name)} TO {quote(to)}",
            lambda name, to: RenameConstraint(table=new.name, name=name, to=to),
        )
    return (
        lambda name, to: f"ALTER INDEX {QName(new.name.schema, name).sql} RENAME TO {quote(to)}",
        lambda name, to: RenameIndex(table=new.name, name=name, to=to),
    )


def _move_default(new: Replacement, do: list[str], undo: list[str], effects: list[Effect], back: list[Effect]) -> None:
    """Under one name nobody can write S any more, so its default moves to N, a serial's sequence with it."""
    alter, source = _alter(new), new.source
    if source.default is not None:
        do.append(f"{alter} ALTER COLUMN {quote(new.retired)} DROP DEFAULT")
        undo.append(f"{alter} ALTER COLUMN {quote(source.name)} SET DEFAULT {source.default}")
        effects.append(SetColumn(table=new.name, name=new.retired, values={"default": None}))
        back.append(SetColumn(table=new.name, name=source.name, values={"default": source.default}))
    if new.default is not None:
        do.append(f"{alter} ALTER COLUMN {quote(source.name)} SET DEFAULT {new.default}")
        undo.insert(0, f"{alter} ALTER COLUMN {quote(source.name)} DROP DEFAULT")
        effects.append(SetColumn(table=new.name, name=source.name, values={"default": new.default}))
        back.append(SetColumn(table=new.name, name=new.target, values={"default": None}))
    if source.owned_sequence is not None:
        do += _sequence_to(new, new.final, new.type)
        undo += _sequence_to(new, source.name, source.type)


def _sequence_to(new: Replacement, column: str, type_name: str) -> list[str]:
    assert new.source.owned_sequence is not None
    sequence = f"ALTER SEQUENCE {new.source.owned_sequence.sql}"
    resized = [f"{sequence} AS {type_name}"] if casts.base(type_name)[0] in ("smallint", "integer", "bigint") else []
    return [*resized, f"{sequence} OWNED BY {new.name.sql}.{quote(column)}"]


def _spare(new: Replacement, name: str) -> str:
    return generated(name, "back", new.plan_id)


def _restore_source(new: Replacement, twins: tuple[belongings.ConstraintTwin, ...]) -> tuple[str, ...]:
    """Return what the undo transaction does last: S's constraints get their names, NOT NULL comes from a proven check."""
    alter = _alter(new)
    renamed = tuple(
        f"{alter} RENAME CONSTRAINT {quote(_spare(new, twin.old.name))} TO {quote(twin.old.name)}" for twin in twins
    )
    if not new.source.not_null:
        return renamed
    column = quote(new.source.name)
    named = not_null_name(new.table, new.source.name)
    not_null = f"ADD CONSTRAINT {quote(named)} NOT NULL {column}" if named else f"ALTER COLUMN {column} SET NOT NULL"
    check = _spare(new, "not_null." + new.source.name)
    return (*renamed, f"{alter} {not_null}", f"{alter} DROP CONSTRAINT {quote(check)}")


def _way_back(new: Replacement, twins: tuple[belongings.ConstraintTwin, ...]) -> Iterator[Part]:
    """Yield steps behind the switch that do nothing forward and prepare the way back when they are undone.

    Undoing goes last step first: S's constraints are added NOT VALID, then validated, then the switch is undone.
    """
    now = new.source_after_switch
    wanted = [
        (twin.old.name, _renamed(twin.old, new.source.name, now), twin.old.validated, twin.old.references)
        for twin in twins
    ]
    if new.source.not_null:
        wanted.append(("not_null." + new.source.name, f"CHECK ({quote(now)} IS NOT NULL)", True, None))
    for name, definition, validated, references in wanted:
        spare = _spare(new, name)
        if validated:
            yield _undo_only(new, f"validate.{spare}", f"On the way back, validate {name} of the old column",
                             f"{_alter(new)} VALIDATE CONSTRAINT {quote(spare)}",
                             Lock.SHARE_UPDATE_EXCLUSIVE, None)  # fmt: skip
        strong = Lock.ACCESS_EXCLUSIVE if references is None else Lock.SHARE_ROW_EXCLUSIVE
        yield _undo_only(new, f"restore.{spare}", f"On the way back, add {name} of the old column again, not yet validated",
                         f"{_alter(new)} ADD CONSTRAINT {quote(spare)} {definition} NOT VALID", strong, references)  # fmt: skip


def _renamed(constraint: Constraint, source: str, now: str) -> str:
    return belongings.rewritten(constraint, source, now) or ""


def _undo_only(new: Replacement, label: str, title: str, undo: str, mode: Lock, other: QName | None) -> Ddl:
    locks = [TableLock(table=new.name, mode=mode)]
    if other is not None and other != new.name:
        locks.append(TableLock(table=other, mode=mode))
    return Ddl(
        phase=Phase.SWITCH,
        stage=Stage.SWITCH,
        label=label,
        title=title,
        sql=(),
        undo=(undo,),
        undo_locks=tuple(locks),
        duration=Duration.SCAN if mode is Lock.SHARE_UPDATE_EXCLUSIVE else Duration.INSTANT,
    )


def _retire(new: Replacement) -> Iterator[Part]:
    """With a new name S stands in reach until here; afterwards it is still kept in step, so that the undo loses nothing."""
    if new.same_name:
        return
    alter, source = _alter(new), new.source
    do = [f"{alter} RENAME COLUMN {quote(source.name)} TO {quote(new.retired)}"]
    undo = [f"{alter} RENAME COLUMN {quote(new.retired)} TO {quote(source.name)}"]
    effects: list[Effect] = [RenameColumn(table=new.name, name=source.name, to=new.retired)]
    back: list[Effect] = [RenameColumn(table=new.name, name=new.retired, to=source.name)]
    if source.default is not None:
        do.append(f"{alter} ALTER COLUMN {quote(new.retired)} DROP DEFAULT")
        undo.append(f"{alter} ALTER COLUMN {quote(source.name)} SET DEFAULT {source.default}")
        effects.append(SetColumn(table=new.name, name=new.retired, values={"default": None}))
        back.append(SetColumn(table=new.name, name=source.name, values={"default": source.default}))
    if new.default is not None:
        do.append(f"{alter} ALTER COLUMN {quote(new.final)} SET DEFAULT {new.default}")
        undo.append(f"{alter} ALTER COLUMN {quote(new.final)} DROP DEFAULT")
        effects.append(SetColumn(table=new.name, name=new.final, values={"default": new.default}))
        back.append(SetColumn(table=new.name, name=new.final, values={"default": None}))
    if source.owned_sequence is not None:
        do += _sequence_to(new, new.final, new.type)
        undo += _sequence_to(new, source.name, source.type)
    yield Ddl(
        phase=Phase.CONTRACT,
        stage=Stage.RETIRE,
        label=f"retire.{new.name.name}.{source.name}",
        title=f"Put {new.name}.{source.name} out of reach; it stays in step until it is dropped",
        sql=tuple(do),
        undo=tuple(undo),
        locks=_strong(new),
        effects=tuple(effects),
        undo_effects=tuple(back),
    )


def _drop(new: Replacement) -> Iterator[Part]:
    for twin in _index_twins(new):
        if twin.old.constraint is None:
            name = generated(twin.old.name, "old", new.plan_id) if new.same_name else twin.old.name
            yield DropIndexPart(table=new.name, name=name, title=f"Drop index {name} of the old column")
    yield Ddl(
        phase=Phase.CONTRACT,
        stage=Stage.DROP,
        label=f"drop_column.{new.name.name}.{new.source.name}",
        title=f"Drop the old column {new.name}.{new.source.name} (now {new.retired})",
        sql=(f"{_alter(new)} DROP COLUMN {quote(new.retired)}",),
        undo=None,
        locks=_strong(new),
        effects=(DropColumn(table=new.name, name=new.retired),),
    )
