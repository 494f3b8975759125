"""Contract of a replacement: S goes out of reach, which can still be undone, and is dropped, which cannot."""

from __future__ import annotations

from collections.abc import Iterator

from osc.catalog.effects import DropColumn, RenameColumn
from osc.names import quote
from osc.operations.aside import Both
from osc.operations.parts import Ddl, DropIndexPart, Part, Stage
from osc.operations.replacement import Replacement
from osc.operations.switchover import move_default, set_aside_name
from osc.program.phase import Phase
from osc.sql.locks import Lock, TableLock


def parts(new: Replacement) -> Iterator[Part]:
    """Yield what contract does."""
    if not new.same_name:
        yield _retire(new)
    for twin in new.index_twins:
        if twin.old.constraint is None:
            name = set_aside_name(new, twin.old) if new.same_name else twin.old.name
            yield DropIndexPart(table=new.name, name=name, title=f"Drop index {name} of the old column")
    yield Ddl(
        phase=Phase.CONTRACT,
        stage=Stage.DROP,
        label=f"drop_column.{new.name.name}.{new.source.name}",
        title=f"Drop the old column {new.name}.{new.source.name} (now {new.retired})",
        sql=(f"ALTER TABLE {new.name.sql} DROP COLUMN {quote(new.retired)}",),
        undo=None,
        locks=(TableLock(table=new.name, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=(DropColumn(table=new.name, name=new.retired),),
    )


def _retire(new: Replacement) -> Ddl:
    """With a new name S is in reach until here; afterwards it is still kept in step, so that the undo loses nothing."""
    rename, source = f"ALTER TABLE {new.name.sql} RENAME COLUMN", new.source.name
    both = Both(
        do=[f"{rename} {quote(source)} TO {quote(new.retired)}"],
        undo=[f"{rename} {quote(new.retired)} TO {quote(source)}"],
        effects=[RenameColumn(table=new.name, name=source, to=new.retired)],
        back=[RenameColumn(table=new.name, name=new.retired, to=source)],
    )
    move_default(new, both)
    return Ddl(
        phase=Phase.CONTRACT,
        stage=Stage.RETIRE,
        label=f"retire.{new.name.name}.{source}",
        title=f"Put {new.name}.{source} out of reach; it stays in step until it is dropped",
        sql=tuple(both.do),
        undo=tuple(both.undo),
        locks=(TableLock(table=new.name, mode=Lock.ACCESS_EXCLUSIVE),),
        effects=tuple(both.effects),
        undo_effects=tuple(both.back),
    )
