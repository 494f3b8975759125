"""All pairs of a table as one trigger, one fill and one verification: which names hold before and after switch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from osc.catalog import Catalog, Table, Trigger
from osc.names import QName, generated, quote
from osc.operations import casts, defaults
from osc.operations.parts import Leaving, Pair, Part
from osc.operations.tokens import Token, identifiers, tokens
from osc.plan.model import Plan
from osc.program import Phase
from osc.sql import leaf, sync, sync_body
from osc.sql.filled import Filled
from osc.sql.keyset import KeyColumn
from osc.sql.rowscope import Scope
from osc.sql.sync_body import LeavingColumn, SyncPair, Truth
from osc.sql.verification import Compared


class Moment(Enum):
    """When in a change: which side is the truth, and which names the columns have."""

    BEFORE = "before switch"
    SWITCHED = "after switch"
    RETIRED = "after the old column was put out of reach"

    @property
    def truth(self) -> Truth:
        return "source" if self is Moment.BEFORE else "target"


@dataclass(frozen=True)
class TablePairs:
    """The pairs of one table, and the names of what keeps them in step.

    The trigger's name begins with ``~``, which sorts behind every letter: BEFORE triggers fire in the byte order of
    their names, and ours must see what the others made of the row (F45).
    """

    plan_id: str
    table: Table
    pairs: tuple[Pair, ...]
    fire: str
    phase: Phase = Phase.BACKFILL
    """When they are filled."""
    leaving: tuple[Leaving, ...] = ()
    """Columns that leave without another in their place."""

    @property
    def name(self) -> QName:
        return self.table.name

    @property
    def leaf(self) -> QName | None:
        """What stands for the leaf that is walked, where the table is partitioned."""
        return leaf.stand_in(self._written()) if self.table.is_partitioned else None

    @property
    def root(self) -> QName | None:
        """The table itself, where its leaves are walked."""
        return self.name if self.table.is_partitioned else None

    @property
    def walked(self) -> QName:
        """What the statements of fill and verification name."""
        return self.leaf or self.name

    def _written(self) -> Iterator[str]:
        """Yield whatever of the author's own gets into these statements."""
        for pair in self.pairs:
            yield from (pair.up, pair.down or "")
        yield from (column.name + column.type for column in self.table.columns)
        yield from (one.name for one in self.table.triggers)
        yield self.name.sql

    @property
    def synced(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.trigger)

    @property
    def keeps(self) -> bool:
        """Whether the fill overwrites the application's own values."""
        return any(pair.keeps for pair in self.pairs)

    @property
    def has_trigger(self) -> bool:
        return bool(self.synced) or any(one.value is not None for one in self.leaving)

    @property
    def function(self) -> QName:
        return QName(self.name.schema, generated("sync", self.name.name, self.plan_id))

    @property
    def trigger(self) -> str:
        return generated("sync", self.name.name, self.plan_id, prefix="~osc")

    @property
    def restore_function(self) -> QName:
        return QName(self.name.schema, generated("restore", self.name.name, self.plan_id))

    @property
    def restore_trigger(self) -> str:
        return generated("z_restore", self.name.name, self.plan_id, prefix="~osc")

    @property
    def comment(self) -> str:
        return f"osc:{self.plan_id}"

    @property
    def restores(self) -> bool:
        """Whether the table has BEFORE UPDATE row triggers of its own, whose effects on a filled row are put back.

        ENABLE REPLICA ones count: they fire where the fill skips triggers by session_replication_role.
        """
        return bool(self.pairs) and any(
            one.before and one.row and "update" in one.events and one.enabled != "D" for one in self.table.triggers
        )

    @property
    def key(self) -> tuple[KeyColumn, ...]:
        """What the table is paged by; empty where it has no key and is walked by blocks."""
        index = self.table.paging_key()
        if index is None:
            return ()
        columns = [self.table.column(name or "") for name in index.columns]
        collations = index.collations or (None,) * len(columns)
        return tuple(
            KeyColumn(name=column.name, type=column.type, collation=collation)
            for column, collation in zip(columns, collations, strict=True)
            if column is not None
        )

    def function_sql(self, moment: Moment) -> tuple[str, str]:
        """Return the statements that make the trigger function for ``moment``, with the names that hold then."""
        pairs = [_sync_pair(pair, self, moment) for pair in self.synced]
        return sync.create_function(
            self.function,
            pairs,
            truth=moment.truth,
            comment=self.comment,
            pinned=self.pinned,
            leaving=_leaving_columns(self, moment),
        )

    @property
    def pinned(self) -> bool:
        """Whether a setting of the writer's session could change what the trigger computes."""
        computed = any(one.value is not None for one in self.leaving)
        return computed or not all(_plain_numbers(pair) for pair in self.synced)

    def body(self, moment: Moment) -> str:
        """Return the function's body, as pg_proc.prosrc will hold it."""
        pairs = [_sync_pair(pair, self, moment) for pair in self.synced]
        return sync_body.function_body(pairs, truth=moment.truth, leaving=_leaving_columns(self, moment))

    def trigger_value(self, moment: Moment) -> Trigger:
        """Return the trigger as a Catalog will show it."""
        config = sync.function_config(pinned=self.pinned)
        digest = hashlib.md5((self.body(moment) + config).encode(), usedforsecurity=False).hexdigest()
        return Trigger(name=self.trigger, function=self.function, function_hash=digest, before=True, row=True,
                       events=("insert", "update"), enabled="A", ours=True)  # fmt: skip

    def restore_value(self) -> Trigger:
        """Return the restoring trigger as a Catalog will show it."""
        return Trigger(name=self.restore_trigger, function=self.restore_function, before=True, row=True,
                       events=("update",), enabled="A", ours=True)  # fmt: skip

    def filled(self) -> tuple[Filled, ...]:
        """Return the columns to fill, by the names that hold before switch."""
        return tuple(
            Filled(
                pair.target,
                _scope(pair, self, Moment.BEFORE).in_query(pair.up, _alias(self.name)),
                never_null=pair.up_never_null,
                keeps=pair.keeps,
                type=pair.target_type,
            )
            for pair in self.pairs
        )

    def compared(self, moment: Moment) -> tuple[Compared, ...]:
        """Return the pairs as verification sees them at ``moment``."""
        return tuple(_compared(pair, self, moment) for pair in self.pairs)


def pairs_by_table(parts: Sequence[Part], catalog: Catalog, plan: Plan) -> tuple[TablePairs, ...]:
    """Return the pairs of ``parts``, table by table in the order they come first, and by when they are filled."""
    pairs = [part for part in parts if isinstance(part, Pair)]
    leaving = [part for part in parts if isinstance(part, Leaving)]
    fire = plan.backfill.triggers or "refuse"
    found = []
    for name, phase in _groups(pairs, leaving):
        table = catalog.table(name)
        assert table is not None  # an objection otherwise
        together = tuple(pair for pair in pairs if (pair.table, pair.phase) == (name, phase))
        going = tuple(one for one in leaving if one.table == name and phase is Phase.BACKFILL)
        found.append(TablePairs(plan.id, table, together, fire, phase, going))
    return tuple(found)


_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "boolean", "oid", "uuid"})
"""Types whose values are read and written alike in every session."""


def _plain_numbers(pair: Pair) -> bool:
    """Return whether the pair's expressions are casts between such types and nothing else; a default is compared as text."""
    types = [kind for kind in (pair.source_type, pair.target_type) if kind is not None]
    if not all(casts.base(kind)[0] in _NUMBERS for kind in types):
        return False
    columns = {pair.source, pair.target, pair.final}
    texts = [text for text in (pair.up, pair.down, pair.source_default) if text is not None]
    return all(_plain(one, columns) for text in texts for one in tokens(text))


def _plain(token: Token, columns: set[str | None]) -> bool:
    name = token.identifier
    if name is None:
        return token.kind in ("number", "bracket", "mark")
    return name in columns or casts.base(name)[0] in _NUMBERS


def _groups(pairs: Sequence[Pair], leaving: Sequence[Leaving]) -> dict[tuple[QName, Phase], None]:
    """The trigger of columns that leave is that of the pairs which are filled while OLD is alive."""
    return dict.fromkeys(
        [*((one.table, one.phase) for one in pairs), *((one.table, Phase.BACKFILL) for one in leaving)]
    )


def _alias(name: QName) -> str:
    return quote(name.name)


def _names_now(pairs: TablePairs, moment: Moment) -> dict[str, str]:
    """Return, for each name the old row's columns have in the plan, the physical column now."""
    names = {column.name: column.name for column in pairs.table.columns if not column.generated}
    for pair in pairs.pairs:
        if not pair.same_name:
            names[pair.final] = pair.target
        if pair.source is not None:
            names[pair.source] = _now(pair, moment)[0] or pair.source
    if moment is Moment.RETIRED:
        names |= {one.column: one.retired for one in pairs.leaving}
    return names


def _leaving_columns(pairs: TablePairs, moment: Moment) -> list[LeavingColumn]:
    """Return what the trigger does for columns that leave; once they are out of reach it must not refuse anything."""
    names, retired = _names_now(pairs, moment), moment is Moment.RETIRED
    return [
        LeavingColumn(
            column=names[one.column],
            type=one.type,
            value=one.value,
            scope=_narrow(one.value, names, pairs),
            null_is_unset=one.null_is_unset,
            must_not_fail=retired,
        )
        for one in pairs.leaving
        if one.value is not None
    ]


def _scope(pair: Pair, pairs: TablePairs, moment: Moment) -> Scope:
    """Return where ``up`` reads: the old row, every column by its old name."""
    return _narrow(pair.up, _names_now(pairs, moment), pairs)


def _down_scope(pair: Pair, pairs: TablePairs, moment: Moment) -> Scope:
    """Return where ``down`` reads: the new row, in which N has its final name and the old column's is gone."""
    names = _names_now(pairs, moment)
    names[pair.final] = _now(pair, moment)[1]
    return _narrow(pair.down or "", names, pairs, {pair.final: _target_declared(pair, pairs)})


def _narrow(expression: str, names: dict[str, str], pairs: TablePairs, types: dict[str, str] | None = None) -> Scope:
    """Keep the columns whose names stand in the expression: others may be dropped by anybody without breaking it."""
    words = identifiers(expression)
    used = {name: now for name, now in names.items() if name in words}
    return Scope(pairs.name.name, used, {name: (types or {}).get(name) or _declared(name, pairs) for name in used})


def _declared(name: str, pairs: TablePairs) -> str:
    column = pairs.table.column(name)
    if column is None:
        return next(_target_declared(pair, pairs) for pair in pairs.pairs if pair.final == name)
    return column.type + (f" COLLATE {column.collation}" if column.collation else "")


def _target_declared(pair: Pair, pairs: TablePairs) -> str:
    """Return N's type with the collation it took over from S: an expression must read it as it reads the column."""
    source = pairs.table.column(pair.source or "")
    collation = source.collation if source is not None and _is_text(pair.target_type) else None
    return pair.target_type + (f" COLLATE {collation}" if collation else "")


def _is_text(type_name: str | None) -> bool:
    return casts.base(type_name or "")[0] in ("text", "character varying", "character", "name")


def _now(pair: Pair, moment: Moment) -> tuple[str | None, str]:
    """Return the physical names of S and N."""
    if pair.same_name:
        return (pair.source, pair.target) if moment is Moment.BEFORE else (pair.retired, pair.final)
    if pair.source is None or moment is not Moment.RETIRED:
        return pair.source, pair.target
    return pair.retired, pair.target


def _sync_pair(pair: Pair, pairs: TablePairs, moment: Moment) -> SyncPair:
    source, target = _now(pair, moment)
    known = pair.source_default is not None and defaults.comparable(pair.source_default)
    # Where nobody can write S any more its default is gone, too.
    has_default = pair.source_default is not None and source == pair.source
    return SyncPair(
        source=source,
        target=target,
        source_type=pair.source_type,
        target_type=pair.target_type,
        up=pair.up,
        up_scope=_scope(pair, pairs, moment),
        down=pair.down,
        down_scope=_down_scope(pair, pairs, moment) if pair.down is not None else None,
        default=pair.source_default if has_default and known else None,
        default_unknown=has_default and not known,
        source_not_null=pair.source_not_null,
        source_image=pair.source_image,
        target_image=pair.target_image,
        up_may_fail=pair.up_may_fail,
        down_may_fail=pair.down_may_fail,
        up_limit=pair.up_limit,
        down_limit=pair.down_limit,
    )


def _compared(pair: Pair, pairs: TablePairs, moment: Moment) -> Compared:
    source, target = _now(pair, moment)
    alias = _alias(pairs.name)
    down = _down_scope(pair, pairs, moment).in_query(pair.down, alias) if pair.down is not None else None
    return Compared(
        source=source,
        target=target,
        source_type=pair.source_type,
        target_type=pair.target_type,
        up=_scope(pair, pairs, moment).in_query(pair.up, alias),
        down=down,
        # In a query the collation of an expression can be indeterminate, which `=` refuses; bytes need none.
        source_image=pair.source_image or _is_text(pair.source_type),
        target_image=pair.target_image or _is_text(pair.target_type),
        never_null=pair.up_never_null or pair.keeps,
        up_limit=pair.up_limit,
        down_limit=pair.down_limit,
    )
