"""Statements for one leaf of a partitioned table at a time, written with a stand-in for its name.

Which leaves there are only running reveals, so a program cannot name them. The stand-in is a relation of schema osc that
never exists: whoever ran such a statement as it is would be refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from osc.names import QName, literal

SCHEMA = "osc"


def stand_in(texts: Iterable[str]) -> QName:
    """Return a name that stands in none of ``texts``, what the author wrote: there it must not be replaced."""
    written, name = "\n".join(texts), "<leaf>"
    while name in written:
        name = f"<{name}>"
    return QName(SCHEMA, name)


def on(sql: str, leaf: QName, *, instead_of: QName) -> str:
    """Return ``sql`` with the leaf's name in place of the stand-in, as an identifier and in literals."""
    return sql.replace(literal(instead_of.sql), literal(leaf.sql)).replace(instead_of.sql, leaf.sql)


def is_leaf_of(leaf: QName, root: QName, oid: str) -> str:
    """Return the condition that the name is that of table ``oid`` still, and the table is a leaf of ``root``.

    Takes no lock. A table that was detached is nobody's leaf.
    """
    regclass = f"{literal(leaf.sql)}::pg_catalog.regclass"
    return f"{regclass}::oid = {oid} AND pg_catalog.pg_partition_root({regclass}) = {literal(root.sql)}::pg_catalog.regclass"
