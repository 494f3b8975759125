"""Evaluating a plan's expressions over a row whose columns stand, for a time, under other names.

An expression is never rewritten as text. Where a column has another name than the plan knows it by, the expression
is put into a scope in which that column has the plan's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from osc.names import quote


@dataclass(frozen=True, slots=True)
class Scope:
    """How the columns an expression may read are called now: plan name → physical name.

    ``types`` gives each column's type, as it is to be declared (with a COLLATE where it needs one).
    """

    table: str
    """The table's plain name, by which an expression may qualify its columns."""
    physical: Mapping[str, str]
    types: Mapping[str, str]

    def plain(self) -> bool:
        """Whether every column stands under the plan's name."""
        return all(name == physical for name, physical in self.physical.items())

    def in_query(self, expression: str, alias: str) -> str:
        """Return ``expression`` for a query in which the table has ``alias``.

        The newline before the closing bracket ends a trailing ``--`` comment.
        """
        if self.plain() and alias == quote(self.table):
            return f"(\n{expression}\n)"
        columns = ", ".join(f"{alias}.{quote(now)} AS {quote(name)}" for name, now in self.physical.items())
        return f"(SELECT (\n{expression}\n) FROM (SELECT {columns or 'NULL'}) AS {quote(self.table)})"

    def in_function(self, expression: str, target: str, *, row: str = "NEW") -> str:
        """Return PL/pgSQL that assigns ``expression`` over ``row`` to the variable ``target``.

        Columns become variables of a block that is labelled like the table, so that the expression stays what
        PL/pgSQL calls simple and runs without the executor.
        """
        # A column called "new" would hide the row from the declarations after it, so it comes last.
        columns = sorted(self.physical.items(), key=lambda item: item[0] == row.lower())
        declared = "\n".join(f"    {quote(name)} {self.types[name]} := {row}.{quote(now)};" for name, now in columns)
        return f"<<{quote(self.table)}>>\nDECLARE\n{declared}\nBEGIN\n    {target} := (\n{expression}\n    );\nEND;"


def same(left: str, right: str, *, image: bool) -> str:
    """Return the condition that two values are the same; by their images where ``=`` is missing or weaker.

    ``*=`` compares the stored bytes (record_image_eq); the casts are needed, ROW *= ROW alone is no operator.
    """
    if image:
        return f"ROW({left})::record OPERATOR(pg_catalog.*=) ROW({right})::record"
    return f"({left}) IS NOT DISTINCT FROM ({right})"
