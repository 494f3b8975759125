"""Two operations that give the same column another shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding
from osc.linter.rule import column_changed, operations_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.names import QName
    from osc.plan.model import Plan

ID = "same-column"
WHY = "Each would have its own new column and trigger expression, and what one writes the other would not see."


def check(plan: Plan) -> Iterator[Finding]:
    """Yield the second change of a column."""
    first: dict[tuple[QName, str], int] = {}
    for number, (path, operation) in enumerate(operations_at(plan)):
        column = column_changed(operation)
        if column is None:
            continue
        if column in first:
            table, name = column
            message = f"operation {first[column] + 1} already changes column {table}.{name}"
            yield Finding("V131", message, "say both in one operation, or in two plans", path=(*path, "column"))
        first.setdefault(column, number)
