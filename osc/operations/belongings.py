"""What belongs to a column and goes with it when another column takes its place: indexes, constraints, attributes.

A definition is taken from the server's own text with the column's name exchanged, and only where the number of names
exchanged equals the number of references in the stored node tree; otherwise it is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from osc.catalog import Column, Constraint, Index, Table
from osc.errors import Finding
from osc.names import QName, generated, literal, quote, replaced_name
from osc.operations.tokens import rewrite_column


@dataclass(frozen=True, slots=True)
class IndexTwin:
    """An index on S and the one on N that will do its work."""

    old: Index
    name: str
    on: str
    columns: tuple[str | None, ...]
    uses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConstraintTwin:
    """A check or foreign key on S and the one on N that will do its work; ``definition`` without name."""

    old: Constraint
    name: str
    definition: str
    columns: tuple[str, ...]


def attributes(table: QName, column: Column, target: str) -> tuple[str, ...]:
    """Return the statements that give ``target`` the statistics target, options, comment and grants of ``column``."""
    alter = f"ALTER TABLE {table.sql} ALTER COLUMN {quote(target)}"
    statements = []
    if column.statistics is not None:
        statements.append(f"{alter} SET STATISTICS {column.statistics}")
    if column.options:
        statements.append(f"{alter} SET ({column.options})")
    if column.comment is not None:
        statements.append(f"COMMENT ON COLUMN {table.sql}.{quote(target)} IS {literal(column.comment)}")
    return (*statements, *(_grant(table, target, grant) for grant in column.grants))


def _grant(table: QName, target: str, grant: str) -> str:
    privilege, _, rest = grant.partition(" TO ")
    return f"GRANT {privilege} ({quote(target)}) ON TABLE {table.sql} TO {rest}"


def index_twins(table: Table, source: str, target: str, *, final: str, helper: bool) -> tuple[IndexTwin, ...]:
    """Return a twin for each index that reads ``source``; those that cannot go along are in ``obstacles``."""
    taken = frozenset(index.name for index in table.indexes)
    twins = []
    for index in table.indexes:
        if source not in index.uses or _index_obstacle(table, index, source):
            continue
        text, _ = rewrite_column(index.after_on, source, target)
        name = (
            generated(index.name, target, prefix="osc")
            if helper
            else replaced_name(index.name, source, final, taken=taken)
        )
        taken |= {name}
        columns = tuple(target if column == source else column for column in index.columns)
        uses = tuple(target if column == source else column for column in index.uses)
        twins.append(IndexTwin(index, name, f"ON {table.name.sql} {text}", columns, uses))
    return tuple(twins)


def constraint_twins(table: Table, source: str, target: str, *, final: str, helper: bool) -> tuple[ConstraintTwin, ...]:
    """Return a twin for each check and foreign key that reads ``source``."""
    taken = frozenset(constraint.name for constraint in table.constraints)
    twins = []
    for constraint in table.constraints:
        if (
            constraint.type not in ("c", "f")
            or source not in constraint.columns
            or rewritten(constraint, source, target) is None
        ):
            continue
        name = (
            generated(constraint.name, target, prefix="osc")
            if helper
            else replaced_name(constraint.name, source, final, taken=taken)
        )
        taken |= {name}
        columns = tuple(target if column == source else column for column in constraint.columns)
        twins.append(ConstraintTwin(constraint, name, rewritten(constraint, source, target) or "", columns))
    return tuple(twins)


def obstacles(table: Table, source: str) -> Iterator[Finding]:
    """Yield what on the table reads ``source`` and cannot go along, each by name with the way out (B26, B46, B47)."""
    column = table.column(source)
    if column is None:
        return
    if column.generated:
        yield _finding("C213", f"{table.name}.{source} is a generated column", "change the columns it is made of")
    if column.identity:
        yield _finding("C214", f"{table.name}.{source} is an identity column",
                       "ALTER … DROP IDENTITY and give it a default nextval(…) first")  # fmt: skip
    for index in table.indexes:
        if source in index.uses and (why := _index_obstacle(table, index, source)):
            yield _finding("C215", f"index {index.name} on {table.name}.{source} {why}", "drop or replace it first")
    for constraint in table.constraints:
        if (
            source in constraint.columns
            and constraint.type in ("c", "f", "x", "t")
            and rewritten(constraint, source, source) is None
        ):
            yield _finding("C216", f"constraint {constraint.name} on {table.name}.{source} cannot be carried over",
                           "drop it first and add it again afterwards")  # fmt: skip
    for incoming in table.incoming:
        if source in incoming.referenced_columns:
            yield _finding("C217", f"foreign key {incoming.name} of {incoming.table} refers to {table.name}.{source}",
                           "drop it first and add it again afterwards")  # fmt: skip
    for dependent in table.dependents:
        if source in dependent.columns:
            yield _finding("C218", f"{dependent.kind} {dependent.name} uses {table.name}.{source}",
                           "drop it first and create it again afterwards, or use another column")  # fmt: skip
    yield from _publication_obstacles(table, source)
    yield from _trigger_obstacles(table, source)


def _publication_obstacles(table: Table, source: str) -> Iterator[Finding]:
    for publication in table.publications:
        if source in (publication.columns or ()) or source in publication.row_filter_uses:
            yield _finding("C219", f"publication {publication.name} names {table.name}.{source} in its column list or filter",
                           "take the column list off first (ALTER PUBLICATION … SET TABLE)")  # fmt: skip


def _trigger_obstacles(table: Table, source: str) -> Iterator[Finding]:
    for trigger in table.triggers:
        named = source in trigger.update_of or source in trigger.condition_uses or source in trigger.body_mentions
        if named and not trigger.ours:
            yield _finding("C220", f"trigger {trigger.name} on {table.name} mentions {source}",
                           "it would go on reading the old column; make it independent of the column first")  # fmt: skip


def _index_obstacle(table: Table, index: Index, source: str) -> str:
    if index.primary:
        return "is the primary key"
    if index.exclusion:
        return "enforces an exclusion constraint"
    if index.replica_identity:
        return "is the replica identity"
    if not (index.valid and index.ready and index.live):
        return "is not valid: a build failed"
    if index.clustered:
        return "is the one the table is clustered on"
    expected = sum(column == source for column in (*index.columns, *index.include))
    expected += index.expression_references.get(source, 0)
    if rewrite_column(index.after_on, source, source)[1] != expected:
        return "has a definition in which the column cannot be told from other words"
    return ""


def rewritten(constraint: Constraint, source: str, target: str) -> str | None:
    """Return the definition for ``target``, or ``None`` if it cannot be told where the column stands."""
    if constraint.definition is None or not constraint.enforced or constraint.no_inherit:
        return None
    definition = constraint.definition.removesuffix(" NOT VALID")
    if constraint.type == "f":
        head, middle, tail = definition.partition(" REFERENCES ")
        text, count = rewrite_column(head, source, target)
        # ON DELETE SET NULL (columns) names columns of this table again, behind REFERENCES.
        if count != constraint.columns.count(source) or " SET NULL (" in tail or " SET DEFAULT (" in tail:
            return None
        return text + middle + tail
    if constraint.type == "c":
        text, count = rewrite_column(definition, source, target)
        return text if count == constraint.expression_references.get(source, 0) else None
    return None


def _finding(code: str, message: str, hint: str) -> Finding:
    return Finding(code, message, hint, path=("column",))
