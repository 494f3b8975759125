"""Two operations that make a column, an index or a constraint of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding
from osc.linter.rule import new_name, operations_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.operations import Operation
    from osc.plan.model import Plan

ID = "duplicate-names"
WHY = "The second would fail on the server after the first had done its work."


def check(plan: Plan) -> Iterator[Finding]:
    """Yield the second maker of a name."""
    first: dict[tuple[str, ...], int] = {}
    for number, (path, operation) in enumerate(operations_at(plan)):
        for field, name in _made(operation):
            if name in first:
                message = f"operation {first[name] + 1} already makes {name[0]} {'.'.join(name[1:])}"
                yield Finding("V132", message, "give one another name", path=(*path, field))
            first.setdefault(name, number)


def _made(operation: Operation) -> Iterator[tuple[str, tuple[str, ...]]]:
    table, name = getattr(operation, "table", None), getattr(operation, "name", None)
    if table is None:
        return
    if operation.kind == "add_column":
        yield "column", ("column", str(table), str(getattr(operation, "column", "")))
    elif (to := new_name(operation)) is not None and hasattr(operation, "column"):
        yield "to", ("column", str(table), to)
    elif operation.kind == "create_index" and isinstance(name, str):
        # An index lives in its table's schema beside tables; two tables cannot have indexes of one name.
        yield "name", ("index", table.schema, name)
    elif operation.kind.startswith("add_") and isinstance(name, str):
        yield "name", ("constraint", str(table), name)
