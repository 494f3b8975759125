"""The recipe shared by operations that put a new column in the place of an old one.

Expand adds N; dual_write keeps both in step; backfill fills N and gives it S's indexes and constraints; switch makes
N the truth (switchover.py); contract takes S out of reach and then drops it (retirement.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from osc.catalog import Column, Constraint
from osc.catalog.effects import AddColumn, AddConstraint, DropColumn, DropConstraint
from osc.names import QName, literal, quote
from osc.operations import belongings, casts, retirement, switchover
from osc.operations.nullability import not_null
from osc.operations.parts import AnalyzePart, ConstraintPart, Ddl, IndexPart, Pair, Part, Stage
from osc.operations.replacement import Replacement
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


def parts(new: Replacement) -> tuple[Part, ...]:
    """Return all parts of a replacement, in order."""
    return tuple(_parts(new))


def _parts(new: Replacement) -> Iterator[Part]:
    yield _add_column(new)
    yield _pair(new)
    yield from _indexes(new)
    yield from _constraints(new)
    yield AnalyzePart(table=new.name, columns=(new.target,))
    yield from switchover.parts(new)
    yield from retirement.parts(new)


def _add_column(new: Replacement) -> Ddl:
    alter = f"ALTER TABLE {new.name.sql}"
    collation = new.source.collation if casts.base(new.type)[0] in _COLLATABLE else None
    collate = f" COLLATE {collation}" if collation else ""
    column = Column(name=new.target, number=0, type=new.type, collation=collation)
    return Ddl(
        phase=Phase.EXPAND,
        label=f"add_column.{new.name.name}.{new.target}",
        title=f"Add {new.name}.{new.target} {new.type}, empty",
        sql=(
            f"{alter} ADD COLUMN {quote(new.target)} {new.type}{collate}",
            *belongings.attributes(new.name, new.source, new.target, new.type),
        ),
        undo=(f"{alter} DROP COLUMN {quote(new.target)}",),
        locks=strong(new.name),
        effects=(AddColumn(table=new.name, column=column),),
        undo_effects=(DropColumn(table=new.name, name=new.target),),
        note="A column without default is a catalog change; no row is read or written.",
    )


_COLLATABLE = ("text", "character varying", "character", "name")


def strong(table: QName) -> tuple[TableLock, ...]:
    """Return the lock of ALTER TABLE."""
    return (TableLock(table=table, mode=Lock.ACCESS_EXCLUSIVE),)


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
        source_image=casts.compare_by_image(source.type, deterministic=source.collation_deterministic),
        target_image=casts.compare_by_image(new.type, deterministic=source.collation_deterministic),
        up_may_fail=new.up_limit != "",
        down_may_fail=new.down_limit != "",
        up_limit=new.up_limit or "",
        down_limit=new.down_limit or "",
    )


def _indexes(new: Replacement) -> Iterator[Part]:
    for twin in new.index_twins:
        constraint = new.table.constraint(twin.old.constraint or "")
        yield IndexPart(
            table=new.name,
            name=twin.name,
            unique=twin.old.unique,
            on=twin.on,
            columns=twin.columns,
            uses=twin.uses,
            partial=twin.old.partial,
            comment=twin.old.comment,
            title=f"Build {twin.name}, the twin of {twin.old.name}",
            narrowing=f"unique index {twin.name}: up may make equal values of different ones"
            if twin.old.unique and not new.injective
            else "",
        )
        if constraint is not None:
            yield _unique_constraint(new, twin, constraint)


def _unique_constraint(new: Replacement, twin: belongings.IndexTwin, old: Constraint) -> Ddl:
    alter, name = f"ALTER TABLE {new.name.sql}", quote(twin.name)
    suffix = (" DEFERRABLE" if old.deferrable else "") + (" INITIALLY DEFERRED" if old.deferred else "")
    comment = (f"COMMENT ON CONSTRAINT {name} ON {new.name.sql} IS {literal(old.comment)}",) if old.comment else ()
    columns = tuple(column for column in twin.columns if column)
    constraint = Constraint(
        name=twin.name, type="u", columns=columns, index=twin.name, deferrable=old.deferrable, deferred=old.deferred
    )
    return Ddl(
        phase=Phase.BACKFILL,
        stage=Stage.AFTER_FILL,
        label=f"unique.{new.name.name}.{twin.name}",
        title=f"Make the built index the unique constraint {twin.name}",
        sql=(f"{alter} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}{suffix}", *comment),
        undo=(f"{alter} DROP CONSTRAINT {name}",),
        locks=strong(new.name),
        effects=(AddConstraint(table=new.name, constraint=constraint),),
        undo_effects=(DropConstraint(table=new.name, name=twin.name),),
    )


def _constraints(new: Replacement) -> Iterator[Part]:
    for twin in new.constraint_twins:
        yield ConstraintPart(
            table=new.name,
            name=twin.name,
            type="f" if twin.old.type == "f" else "c",
            columns=twin.columns,
            add=f"ALTER TABLE {new.name.sql} ADD CONSTRAINT {quote(twin.name)} {twin.definition} NOT VALID",
            references=twin.old.references,
            referenced_columns=twin.old.referenced_columns,
            deferrable=twin.old.deferrable,
            deferred=twin.old.deferred,
            validate_it=twin.old.validated,
            comment=twin.old.comment,
            title=f"Add {twin.name}, the twin of {twin.old.name}",
            narrowing=new.narrowing(f"constraint {twin.name}"),
        )
    if new.carries_not_null:
        old = new.source_not_null
        yield not_null(
            new.table,
            new.target,
            new.server_major,
            name=new.not_null_name,
            narrowing=new.narrowing(f"NOT NULL on {new.final}"),
            validate_it=new.not_null,
            comment=old.comment if old else None,
        )
