"""What must hold before two columns can be kept in step, and the proofs and probes of their expressions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from osc.catalog import Table
from osc.errors import Finding
from osc.names import quote
from osc.operations import belongings, casts
from osc.operations.pairing import Replacement
from osc.program.model import Probe, Proof

COLUMNS_MAX = 1600
"""MaxHeapAttributeNumber: dropped columns count, too."""


def missing_column(table: Table, name: str) -> Finding:
    """Return the finding for a column that is not there, with the nearest one that is."""
    near = difflib.get_close_matches(name, [column.name for column in table.columns], n=1)
    hint = f"did you mean {near[0]}?" if near else f"its columns: {', '.join(column.name for column in table.columns)}"
    return Finding("C211", f"column {table.name}.{name} does not exist", hint, path=("column",))


def pairable(table: Table) -> Iterator[Finding]:
    """Yield what forbids a sync trigger and a keyset fill on ``table``."""
    if table.paging_key() is None:
        yield Finding("C120", f"table {table.name} has no usable unique key: unique, valid, immediate, not partial, not null",
                      "add a primary key first", path=("table",))  # fmt: skip
    if table.column_numbers_used + 2 > COLUMNS_MAX:
        yield Finding("C245", f"table {table.name} has used {table.column_numbers_used} of {COLUMNS_MAX} columns",
                      "dropped columns count; the table must be made anew", path=("table",))  # fmt: skip
    for publication in table.publications:
        keyed = table.replica_identity in ("f", "i") or (
            table.replica_identity == "d" and table.primary_key() is not None
        )
        if publication.updates and not keyed:
            yield Finding("C260", f"publication {publication.name} publishes updates of {table.name}, which has no replica identity",
                          "add a primary key or set REPLICA IDENTITY; the fill's updates would fail", path=("table",))  # fmt: skip
    for trigger in table.triggers:
        if trigger.row and trigger.before and trigger.name.encode() >= b"~osc_" and not trigger.ours:
            yield Finding("C252", f"trigger {trigger.name} on {table.name} sorts behind osc's and could change what it saw",
                          f"rename it: ALTER TRIGGER {quote(trigger.name)} … RENAME TO a name below '~'", path=("table",))  # fmt: skip


def pair_proofs(new: Replacement, *, up_given: bool, down_given: bool) -> Iterator[Proof]:
    """Yield the proofs of ``up``, ``down`` and of every definition that goes along, on a temporary table."""
    yield _expression_proof(new, new.up, new.type, "up" if up_given else "type", widened=False)
    if new.down is not None:
        yield _expression_proof(new, new.down, new.source.type, "down" if down_given else "type", widened=True)
    yield from _definition_proofs(new)


def _expression_proof(new: Replacement, expression: str, type_name: str, field: str, *, widened: bool) -> Proof:
    """An enum's casts are only STABLE by their label's catalog look-up, yet a label never changes its value: typed, not frozen."""
    clone = _clone(new, widened=widened)
    enum = new.source.type_kind == "e" and (new.plain_up or casts.is_plain_cast(expression, new.final))
    value = (
        f"INSERT INTO osc_proven SELECT (\n{expression}\n) FROM pg_temp.{quote(new.name.name)} LIMIT 0"
        if enum
        else f"ALTER TABLE pg_temp.{quote(new.name.name)} ADD COLUMN osc_proven {type_name} GENERATED ALWAYS AS (\n{expression}\n) STORED"
    )
    prepare = (f"CREATE TEMPORARY TABLE osc_proven (value {type_name})",) if enum else ()
    return Proof(
        sql=(*clone, *prepare, value),
        code="C230",
        expression=expression,
        typing=f"SELECT (\n{expression}\n)::{type_name} FROM {_row(new, widened=widened)} LIMIT 0",
        path=(field,),
        hint="one immutable expression over the row; qualify what is not in pg_catalog: public.norm(x), 'a'::app.mood",
    )


def _row(new: Replacement, *, widened: bool) -> str:
    """Return a row source for typing: the table itself, or the row as it will be."""
    alias = quote(new.name.name)
    if not widened:
        return f"ONLY {new.name.sql} AS {alias}"
    kept = [column.name for column in new.table.columns if not (new.same_name and column.name == new.source.name)]
    columns = ", ".join([*(f"r.{quote(name)}" for name in kept), f"NULL::{new.type} AS {quote(new.final)}"])
    return f"(SELECT {columns} FROM ONLY {new.name.sql} AS r) AS {alias}"


def _clone(new: Replacement, *, widened: bool) -> tuple[str, ...]:
    clone = f"pg_temp.{quote(new.name.name)}"
    create = f"CREATE TEMPORARY TABLE {quote(new.name.name)} (LIKE {new.name.sql})"
    if not widened:
        return (create,)
    if new.same_name:
        return (
            create,
            f"ALTER TABLE {clone} DROP COLUMN {quote(new.source.name)}",
            f"ALTER TABLE {clone} ADD COLUMN {quote(new.final)} {new.type}",
        )
    return (create, f"ALTER TABLE {clone} ADD COLUMN {quote(new.final)} {new.type}")


def _definition_proofs(new: Replacement) -> Iterator[Proof]:
    clone = f"pg_temp.{quote(new.name.name)}"
    base = (*_clone(new, widened=False), f"ALTER TABLE {clone} ADD COLUMN {quote(new.target)} {new.type}")
    twins = belongings.constraint_twins(new.table, new.source.name, new.target, final=new.final, helper=new.same_name)
    for twin in twins:
        if twin.old.type == "c":
            yield Proof(sql=(*base, f"ALTER TABLE {clone} ADD {twin.definition}"), code="C231",
                        expression=f"{twin.old.name}: {twin.definition}", path=("type",),
                        hint=f"constraint {twin.old.name} cannot be carried over; drop it first")  # fmt: skip
    for index in belongings.index_twins(new.table, new.source.name, new.target, final=new.final, helper=new.same_name):
        definition = index.on.removeprefix(f"ON {new.table.name.sql} ")
        yield Proof(sql=(*base, f"CREATE INDEX ON {clone} {definition}"), code="C231",
                    expression=f"{index.old.name}: {definition}", path=("type",),
                    hint=f"index {index.old.name} cannot be carried over; drop it first")  # fmt: skip
    if new.default is not None and not new.default.startswith("nextval("):
        yield Proof(sql=(*base, f"ALTER TABLE {clone} ALTER COLUMN {quote(new.target)} SET DEFAULT {new.default}"),
                    code="C222", expression=new.default, path=("default",), hint="the default must be a value of the type")  # fmt: skip


def pair_probes(new: Replacement) -> Iterable[Probe]:
    """Return the probe for a NULL in N that could mean both "unfilled" and a value: S equals down(NULL), up(S) is not NULL."""
    if new.down is None or new.not_null:
        return ()
    source, table = new.source, new.table
    others = ", ".join(quote(column.name) for column in table.columns if column.name != source.name)
    row = f"(SELECT r.* FROM (VALUES (1)) AS one(n) LEFT JOIN (SELECT * FROM ONLY {table.name.sql} LIMIT 1000) AS r ON true)"
    final = f", NULL::{new.type} AS {quote(new.final)}"
    named = f"SELECT {others}{final} FROM {row} AS r" if new.same_name else f"SELECT *{final} FROM {row} AS r"
    down = f"SELECT {_list(others)}(\n{new.down}\n)::{source.type} AS {quote(source.name)} FROM ({named}) AS {quote(table.name.name)}"
    return (
        Probe(
            sql=f"SELECT {quote(source.name)}::text FROM ({down}) AS {quote(table.name.name)} WHERE (\n{new.up}\n) IS NOT NULL LIMIT 1",
            code="V149",
            message="NULL in the new column could mean both 'not filled yet' and a value: down gives this old value for NULL, "
            "for which up gives another",
            hint="say not_null: true, or let down give an old value for which up is NULL",
            path=("down",),
        ),
    )


def _list(columns: str) -> str:
    return f"{columns}, " if columns else ""
