"""The value that putting a new column in an old one's place is about: who replaces whom, and what is known.

S is the old column (``source``), N the new one. Names are those that hold at the moment a property says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from osc.catalog import Catalog, Column, Constraint, Table
from osc.names import QName, generated
from osc.operations import belongings, casts
from osc.operations.aside import retired_name
from osc.operations.immutable_forms import cannot_raise
from osc.operations.nullability import automatic_name, not_null_constraint


@dataclass(frozen=True)
class Replacement:
    """One column taking another's place. ``to`` is ``None`` where it keeps the name."""

    table: Table
    source: Column
    to: str | None
    type: str
    """As the server writes it."""
    type_kind: str
    up: str
    down: str | None
    not_null: bool
    default: str | None
    """N's own default from retire (or switch, under one name) on; SQL."""
    plan_id: str
    server_major: int
    taken: frozenset[str] = frozenset()
    """Names of relations in the table's schema, which no index may get."""

    @property
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
        return retired_name(self.name, self.source.name, self.plan_id)

    @property
    def source_after_switch(self) -> str:
        return self.retired if self.same_name else self.source.name

    # ------------------------------------------------------------------------------- what the expressions can do

    @cached_property
    def plain_up(self) -> bool:
        return casts.is_plain_cast(self.up, self.source.name)

    @cached_property
    def plain_down(self) -> bool:
        return self.down is not None and casts.is_plain_cast(self.down, self.final)

    @property
    def up_limit(self) -> str | None:
        """The condition within which ``up`` cannot raise: ``""`` always, ``None`` unknown."""
        if self.plain_up:
            return casts.cast_limit(self.source.type, self.type, from_kind=self.source.type_kind)
        return "" if cannot_raise(self.up, frozenset(column.name for column in self.table.columns)) else None

    @property
    def down_limit(self) -> str | None:
        """The same of ``down``."""
        if self.down is None:
            return ""
        if self.plain_down:
            return casts.cast_limit(self.type, self.source.type, from_kind=self.type_kind)
        readable = frozenset({*(column.name for column in self.table.columns), self.final})
        return "" if cannot_raise(self.down, readable) else None

    @cached_property
    def injective(self) -> bool:
        """Whether different values stay different both ways: a unique index on either side refuses nothing new."""
        up = self.plain_up and casts.keeps_values_apart(
            self.source.type, self.type, from_kind=self.source.type_kind, to_kind=self.type_kind
        )
        down = self.down is None or (
            self.plain_down
            and casts.keeps_values_apart(
                self.type, self.source.type, from_kind=self.type_kind, to_kind=self.source.type_kind
            )
        )
        return up and down

    def narrowing(self, what: str) -> str:
        """Return why a constraint of S on N may refuse OLD's writes, or an empty string if it cannot."""
        return "" if self.plain_up and self.up_limit == "" else f"{what}: up may give a value that it refuses"

    # -------------------------------------------------------------------------------------- what goes along

    @cached_property
    def index_twins(self) -> tuple[belongings.IndexTwin, ...]:
        taken = self.taken | {index.name for index in self.table.indexes}
        return belongings.index_twins(
            self.table, self.source.name, self.target, final=self.final, helper=self.same_name, taken=taken
        )

    @cached_property
    def constraint_twins(self) -> tuple[belongings.ConstraintTwin, ...]:
        return belongings.constraint_twins(
            self.table, self.source.name, self.target, final=self.final, helper=self.same_name
        )

    @cached_property
    def source_not_null(self) -> Constraint | None:
        """S's NOT NULL constraint, on servers that have them (18 and later); it may be not yet validated."""
        return not_null_constraint(self.table, self.source.name)

    @property
    def carries_not_null(self) -> bool:
        """Whether N gets a NOT NULL: proven, or as unproven as S's."""
        return self.not_null or self._unproven_goes_along

    @property
    def _unproven_goes_along(self) -> bool:
        old = self.source_not_null
        return old is not None and not old.validated and self.plain_up

    @cached_property
    def final_not_null_name(self) -> str:
        """What N's NOT NULL constraint is called in the end (18 and later)."""
        old, auto = self.source_not_null, automatic_name(self.name.name, self.final, "not_null")
        if self.same_name:
            return old.name if old is not None else auto
        taken = frozenset(one.name for one in self.table.constraints)
        if old is None or old.name == automatic_name(self.name.name, self.source.name, "not_null"):
            return auto if auto not in taken else generated("nn", self.name.name, self.final)
        return belongings.replaced(old.name, self.source.name, self.final, taken=taken)

    @property
    def not_null_name(self) -> str:
        """What it is called until switch."""
        return generated("nn", self.target, self.plan_id) if self.same_name else self.final_not_null_name


def replacement(
    catalog: Catalog,
    table: Table,
    source: Column,
    *,
    to: str | None,
    type: str | None,
    up: str | None = None,
    down: str | None = None,
    one_way: bool = False,
    not_null: bool | None = None,
    default: str | None = None,
    keep_default: bool = True,
    plan_id: str = "",
) -> Replacement:
    """Return the Replacement with what the author left out filled in: casts both ways, NOT NULL and default of S.

    ``type`` is as the author wrote it, ``None`` for S's own. With ``keep_default`` S's default goes along where ``up``
    is a plain cast; otherwise N gets ``default``.
    """
    fact = catalog.types.get(type) if type is not None else None
    new_type = (fact.name if fact and fact.name else type) or source.type
    kind = source.type_kind if type is None else fact.kind if fact else "b"
    upward = up or casts.cast(source.name, source.type, new_type)
    downward = None if one_way else (down or casts.cast(to or source.name, new_type, source.type))
    plain = casts.is_plain_cast(upward, source.name)
    if keep_default:
        default = casts.carried_default(source, new_type, kind) if plain else None
    return Replacement(
        table=table,
        source=source,
        to=to,
        type=new_type,
        type_kind=kind,
        up=upward,
        down=downward,
        not_null=not_null if not_null is not None else source.not_null and plain,
        default=default,
        plan_id=plan_id,
        server_major=catalog.server.major,
        taken=frozenset(catalog.relation_names.get(table.name.schema, ())),
    )
