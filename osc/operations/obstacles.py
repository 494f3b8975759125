"""What on a table reads a column and cannot go along when another takes its place: each by name, with the way out."""

from __future__ import annotations

from collections.abc import Iterator

from osc.catalog import Catalog, Constraint, Index, Table
from osc.catalog.model import WHOLE_ROW, Dependent
from osc.errors import Finding
from osc.operations import belongings


def obstacles(catalog: Catalog, table: Table, source: str) -> Iterator[Finding]:
    """Yield what on the table reads ``source`` and cannot go along (B26, B46, B47)."""
    column = table.column(source)
    if column is None:
        return
    if column.generated:
        yield _finding("C213", f"{table.name}.{source} is a generated column", "change the columns it is made of")
    if column.identity:
        yield _finding(
            "C214",
            f"{table.name}.{source} is an identity column",
            "ALTER … DROP IDENTITY and give it a default nextval(…) first",
        )
    if (fact := catalog.types.get(column.type)) is not None and fact.rejects_null:
        yield _finding(
            "C223",
            f"{table.name}.{source} is of domain {column.type}, which refuses NULL",
            "after switch the old column must be able to be NULL: use the base type with NOT NULL first",
        )
    yield from _parts_of_the_table(table, source)
    yield from readers(table, source)
    for dependent in table.dependents:
        if source in dependent.columns and dependent.kind == "statistics":
            yield _dependent(table, source, dependent)


def readers(table: Table, source: str) -> Iterator[Finding]:
    """Yield what outside the table's own parts reads ``source``; nothing of it goes along with a column."""
    for incoming in table.incoming:
        if source in incoming.referenced_columns:
            yield _finding(
                "C217",
                f"foreign key {incoming.name} of {incoming.table} refers to {table.name}.{source}",
                "drop it first and add it again afterwards",
            )
    for dependent in table.dependents:
        if source in dependent.columns and dependent.kind != "statistics":
            yield _dependent(table, source, dependent)
    yield from _publications(table, source)
    yield from _triggers(table, source)


def _parts_of_the_table(table: Table, source: str) -> Iterator[Finding]:
    parts: tuple[Index | Constraint, ...] = (*table.indexes, *table.constraints)
    earlier = [one.name for one in parts if made_before(one, source)]
    if earlier:
        yield _finding(
            "C234",
            f"{', '.join(dict.fromkeys(earlier))} on {table.name}.{source}: made or replaced by an earlier operation of this plan",
            "put create_index behind what changes its column; change columns that share an index or a rule in two plans",
        )
        return
    for index in table.indexes:
        if source in index.uses and (why := belongings.index_obstacle(index, source)):
            yield _finding("C215", f"index {index.name} on {table.name}.{source} {why}", "drop or replace it first")
    for constraint in table.constraints:
        reads = source in constraint.columns or WHOLE_ROW in constraint.expression_references
        carried = constraint.type in ("n", "p", "u") or belongings.rewritten(constraint, source, source) is not None
        if reads and (not carried or WHOLE_ROW in constraint.expression_references):
            yield _finding(
                "C216",
                f"constraint {constraint.name} on {table.name}.{source} cannot be carried over",
                "drop it first and add it again afterwards",
            )


def _dependent(table: Table, source: str, dependent: Dependent) -> Finding:
    return _finding(
        "C218",
        f"{dependent.kind} {dependent.name} uses {table.name}.{source}",
        "drop it first and create it again afterwards, or use another column",
    )


def made_before(one: Index | Constraint, source: str) -> bool:
    """Return whether a step of ours is to make ``one``, which reads ``source``.

    Of what a step is to make only the server will know the definition, so nothing can be made after it.
    """
    reads = one.uses if isinstance(one, Index) else one.columns
    return one.definition is None and source in reads and (isinstance(one, Index) or one.type in ("c", "f"))


def _publications(table: Table, source: str) -> Iterator[Finding]:
    for publication in table.publications:
        if source in (publication.columns or ()) or source in publication.row_filter_uses:
            yield _finding(
                "C219",
                f"publication {publication.name} names {table.name}.{source} in its column list or filter",
                "take the column list off first (ALTER PUBLICATION … SET TABLE)",
            )


def _triggers(table: Table, source: str) -> Iterator[Finding]:
    for trigger in table.triggers:
        named = source in trigger.update_of or source in trigger.condition_uses or source in trigger.body_mentions
        if named and not trigger.ours:
            yield _finding(
                "C212",
                f"trigger {trigger.name} on {table.name} mentions {source}",
                "it would go on reading the old column; make it independent of the column first",
            )


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code, message, hint, path=("column",))
