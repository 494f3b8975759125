"""The proofs of a plan's expressions and of what goes along, on temporary tables, and the probes of the data.

A proof runs in a transaction that is always rolled back; a probe only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from osc.catalog import Table
from osc.names import QName, literal, quote
from osc.operations.replacement import Replacement
from osc.operations.shown import shown_key
from osc.operations.tokens import tokens
from osc.program.model import Probe, Proof
from osc.sql.message import dollar_quote


def clone_of_shape(table: Table) -> str:
    """Return the statement for a temporary table of the shape ``table`` will have, generated columns as plain ones."""
    columns = [
        f"{quote(column.name)} {column.type}{f' COLLATE {column.collation}' if column.collation else ''}"
        for column in table.columns
    ]
    return f"CREATE TEMPORARY TABLE {quote(table.name.name)} ({', '.join(columns)})"


def pair_proofs(new: Replacement, *, up_given: bool, down_given: bool) -> Iterator[Proof]:
    """Yield the proofs of ``up``, ``down`` and of every definition that goes along, on a temporary table."""
    yield _expression_proof(new, new.up, new.type, "up" if up_given else "type", widened=False)
    if new.down is not None:
        yield _expression_proof(new, new.down, new.source.type, "down" if down_given else "type", widened=True)
    yield from _definition_proofs(new)


def _expression_proof(new: Replacement, expression: str, type_name: str, field: str, *, widened: bool) -> Proof:
    """Casts of enums are STABLE, for they look a label up, yet no label changes its value: typed, not frozen."""
    clone = _clone(new, widened=widened)
    plain = new.plain_down if widened else new.plain_up
    enum = plain and "e" in (new.source.type_kind, new.type_kind)
    value = (
        f"INSERT INTO osc_proven SELECT (\n{expression}\n) FROM pg_temp.{quote(new.name.name)} LIMIT 0"
        if enum
        else f"ALTER TABLE pg_temp.{quote(new.name.name)} ADD COLUMN osc_proven {type_name} GENERATED ALWAYS AS "
        f"(\n{expression}\n) STORED"
    )
    prepare = (f"CREATE TEMPORARY TABLE osc_proven (value {type_name})",) if enum else ()
    return Proof(
        sql=(*clone, *prepare, value, *(() if enum else frozen_moments(new.name, expression))),
        code="C230",
        expression=expression,
        # In WHERE, where no aggregate, window function or set may stand; in the list of SELECT they would pass.
        typing=f"SELECT FROM {_row(new, widened=widened)} WHERE ((\n{expression}\n)::{type_name}) IS NULL LIMIT 0",
        path=(field,),
        hint="one immutable expression over the row; qualify what is not in pg_catalog: public.norm(x), 'a'::app.mood",
    )


_MOMENTS = ("now", "today", "tomorrow", "yesterday")


def frozen_moments(table: QName, expression: str) -> tuple[str, ...]:
    """Return statements that raise where a word such as 'now' was read as a time while the expression was parsed.

    To the server that is a constant, so immutable; to the trigger it is another one in each session, and a third one
    to the fill. As plain text the word is found again in what the server made of the expression.
    """
    words = [one.text.strip("$'eE") for one in tokens(expression) if one.kind == "string"]
    moments = [word for word in words if word.strip().lower().startswith(_MOMENTS)]
    return tuple("DO " + dollar_quote(_refuse_moment(table, word)) for word in moments)


def _refuse_moment(table: QName, word: str) -> str:
    return f"""
BEGIN
    IF EXISTS (SELECT FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
               WHERE a.attrelid = {literal(f"pg_temp.{quote(table.name)}")}::regclass AND a.attname = 'osc_proven'
                 AND strpos(pg_get_expr(d.adbin, d.adrelid), {literal(literal(word).strip())}) = 0) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_object_definition',
            MESSAGE = {literal(f"'{word}' is another time whenever it is read")};
    END IF;
END
"""


def _row(new: Replacement, *, widened: bool) -> str:
    """Return a row source for typing: the table itself, or the row as it will be."""
    alias = quote(new.name.name)
    if not widened:
        return f"{new.table.scanned} AS {alias}"
    kept = [column.name for column in new.table.columns if not (new.same_name and column.name == new.source.name)]
    columns = ", ".join([*(f"r.{quote(name)}" for name in kept), f"NULL::{new.type} AS {quote(new.final)}"])
    return f"(SELECT {columns} FROM {new.table.scanned} AS r) AS {alias}"


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
    for twin in new.constraint_twins:
        if twin.old.type == "f":
            yield from _reference_proof(
                new, twin.old.references, twin.columns, twin.old.referenced_columns, twin.old.name
            )
        else:
            yield Proof(
                sql=(*base, f"ALTER TABLE {clone} ADD {twin.definition}"),
                code="C231",
                expression=f"{twin.old.name}: {twin.definition}",
                path=("type",),
                hint=f"constraint {twin.old.name} cannot be carried over; drop it first",
            )
    for index in new.index_twins:
        definition = index.on.removeprefix(f"ON {new.table.name.sql} ")
        unique = "UNIQUE " if index.old.unique else ""
        yield Proof(
            sql=(*base, f"CREATE {unique}INDEX ON {clone} {definition}"),
            code="C231",
            expression=f"{index.old.name}: {definition}",
            path=("type",),
            hint=f"index {index.old.name} cannot be carried over; drop it first",
        )
    if new.default is not None:
        yield Proof(
            sql=(*base, f"ALTER TABLE {clone} ALTER COLUMN {quote(new.target)} SET DEFAULT {new.default}"),
            code="C222",
            expression=new.default,
            path=("default",),
            hint="the default must be a value of the type",
        )


def _reference_proof(
    new: Replacement, table: QName | None, columns: tuple[str, ...], referenced: tuple[str, ...], name: str
) -> Iterator[Proof]:
    """A temporary table cannot refer to a permanent one; that the types can be compared is what may be missing."""
    for column, there in zip(columns, referenced, strict=False):
        if column == new.target and table is not None:
            compared = f"SELECT FROM {table.sql} AS r WHERE r.{quote(there)} = NULL::{new.type} LIMIT 0"
            yield Proof(
                sql=(compared,),
                code="C231",
                expression=f"{name}: {there} = {new.final}",
                typing=compared,
                path=("type",),
                hint=f"foreign key {name} cannot be carried over; drop it first",
            )


def pair_probes(new: Replacement) -> Iterator[Probe]:
    """Yield the probes of a pair: rows that would break what is asked of N, and a NULL that could mean two things."""
    if new.not_null and not new.plain_up:
        yield null_probe(new.table, new.up, new.final, "up")
    yield from _ambiguity_probe(new)


def null_probe(table: Table, up: str, column: str, field: str) -> Probe:
    """Return the probe for rows that a NOT NULL behind the fill would refuse, listed before the first write."""
    return Probe(
        sql=f"SELECT {shown_key(table)} FROM {table.scanned} AS {quote(table.name.name)} WHERE (\n{up}\n) IS "
        f"NULL LIMIT 20",
        evaluates=True,
        code="C244",
        message=f"rows for which up gives NULL, which {column} is not to be",
        hint="let up give a value for each row, mend these rows, or say not_null: false",
        path=(field,),
    )


def _ambiguity_probe(new: Replacement) -> Iterable[Probe]:
    """Return the probe for a NULL in N that could mean "unfilled" and a value: S is down(NULL), up(S) is not NULL."""
    if new.down is None or new.not_null or (new.plain_up and new.plain_down):
        return ()
    source, table = new.source, new.table
    others = ", ".join(quote(column.name) for column in table.columns if column.name != source.name)
    some = f"SELECT * FROM {table.scanned} LIMIT 1000"
    row = f"(SELECT r.* FROM (VALUES (1)) AS one(n) LEFT JOIN ({some}) AS r ON true)"
    final = f", NULL::{new.type} AS {quote(new.final)}"
    named = f"SELECT {others}{final} FROM {row} AS r" if new.same_name else f"SELECT *{final} FROM {row} AS r"
    carried = f"(\n{new.down}\n)::{source.type} AS {quote(source.name)}"
    down = f"SELECT {_list(others)}{carried} FROM ({named}) AS {quote(table.name.name)}"
    return (
        Probe(
            sql=f"SELECT {quote(source.name)}::text FROM ({down}) AS {quote(table.name.name)} WHERE (\n{new.up}\n) "
            f"IS NOT NULL LIMIT 1",
            evaluates=True,
            code="V149",
            message="NULL in the new column could mean both 'not filled yet' and a value: down gives this old value "
            "for NULL, for which up gives another",
            hint="say not_null: true, or let down give an old value for which up is NULL",
            path=("down",),
        ),
    )


def _list(columns: str) -> str:
    return f"{columns}, " if columns else ""
