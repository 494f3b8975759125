"""What belongs to a column and goes with it when another column takes its place: indexes, constraints, attributes.

A definition is taken from the server's own text with the column's name exchanged, and only where the number of names
exchanged equals the number of references in the stored node tree; otherwise it is refused by name (obstacles.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from osc.catalog import Column, Constraint, Index, Table
from osc.names import QName, generated, literal, quote, replaced_name
from osc.operations import casts
from osc.operations.tokens import rewrite_column, tokens


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


_STORED_APART = frozenset({"text", "character varying", "character", "bytea", "json", "jsonb", "xml"})
"""Types for which a storage mode or compression of the old column makes sense on the new one as well."""


def attributes(table: QName, column: Column, target: str, target_type: str) -> tuple[str, ...]:
    """Return the statements that give ``target`` the statistics target, options, comment, grants of ``column``."""
    alter = f"ALTER TABLE {table.sql} ALTER COLUMN {quote(target)}"
    statements = []
    if column.statistics is not None:
        statements.append(f"{alter} SET STATISTICS {column.statistics}")
    if column.options:
        statements.append(f"{alter} SET ({column.options})")
    if casts.same_type(column.type, target_type) or (_long(column.type) and _long(target_type)):
        if column.storage is not None:
            statements.append(f"{alter} SET STORAGE {column.storage}")
        if column.compression is not None:
            statements.append(f"{alter} SET COMPRESSION {column.compression}")
    if column.comment is not None:
        statements.append(f"COMMENT ON COLUMN {table.sql}.{quote(target)} IS {literal(column.comment)}")
    return (*statements, *(_grant(table, target, grant) for grant in column.grants))


def _long(type_name: str) -> bool:
    return casts.base(type_name)[0] in _STORED_APART


def _grant(table: QName, target: str, grant: str) -> str:
    privilege, _, rest = grant.partition(" TO ")
    return f"GRANT {privilege} ({quote(target)}) ON TABLE {table.sql} TO {rest}"


def index_twins(
    table: Table, source: str, target: str, *, final: str, helper: bool, taken: frozenset[str]
) -> tuple[IndexTwin, ...]:
    """Return a twin for each index that reads ``source``; those that cannot go along are in ``obstacles``."""
    twins = []
    for index in table.indexes:
        if source not in index.uses or index_obstacle(index, source):
            continue
        text, _ = rewrite_column(index.after_on, source, target)
        name = _twin_name(index.name, source, target, final, helper=helper, taken=taken)
        taken |= {name}
        columns = tuple(target if column == source else column for column in index.columns)
        uses = tuple(target if column == source else column for column in index.uses)
        twins.append(IndexTwin(index, name, f"ON {table.name.sql} {_in_tablespace(text, index)}", columns, uses))
    return tuple(twins)


def _in_tablespace(text: str, index: Index) -> str:
    """pg_get_indexdef() leaves the tablespace out; CREATE INDEX wants it before WHERE."""
    if index.tablespace is None:
        return text
    depth, at = 0, len(text)
    for token in tokens(text):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.identifier == "where":
            at = token.start
            break
    return f"{text[:at].rstrip()} TABLESPACE {quote(index.tablespace)} {text[at:]}".rstrip()


def constraint_twins(table: Table, source: str, target: str, *, final: str, helper: bool) -> tuple[ConstraintTwin, ...]:
    """Return a twin for each check and foreign key that reads ``source``."""
    taken = frozenset(constraint.name for constraint in table.constraints)
    twins = []
    for constraint in table.constraints:
        definition = rewritten(constraint, source, target)
        if constraint.type not in ("c", "f") or source not in constraint.columns or definition is None:
            continue
        name = _twin_name(constraint.name, source, target, final, helper=helper, taken=taken)
        taken |= {name}
        columns = tuple(target if column == source else column for column in constraint.columns)
        twins.append(ConstraintTwin(constraint, name, definition, columns))
    return tuple(twins)


def _twin_name(name: str, source: str, target: str, final: str, *, helper: bool, taken: frozenset[str]) -> str:
    if helper:
        return generated(name, target, prefix="osc")
    return replaced(name, source, final, taken=taken)


def replaced(name: str, source: str, final: str, *, taken: frozenset[str]) -> str:
    """Return the name of what is called ``name`` on ``source`` when it is on ``final``."""
    return replaced_name(name, source, final, taken=taken)


def index_obstacle(index: Index, source: str) -> str:
    """Return why ``index`` cannot go along, or an empty string."""
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
    if constraint.definition is None or not constraint.enforced:
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
