"""What a rule is, how the rules are found, and what they ask of operations they do not know."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Protocol

from osc.linter import rules
from osc.names import QName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from osc.errors import Finding
    from osc.operations import Operation
    from osc.plan.model import Plan


class Rule(Protocol):
    """A module under ``osc.linter.rules``."""

    ID: str
    """The name by which people speak of it."""
    WHY: str
    """What happens to somebody who does not heed it."""

    @staticmethod
    def check(plan: Plan) -> Iterable[Finding]:
        """Yield what the rule has against ``plan``; paths are those of the plan."""


@cache
def lint_rules() -> tuple[Rule, ...]:
    """Return all rules in the order of their modules' names."""
    found = sorted(pkgutil.iter_modules(rules.__path__), key=lambda module: module.name)
    modules = (importlib.import_module(f"{rules.__name__}.{module.name}") for module in found)
    return tuple(module for module in modules if hasattr(module, "check"))  # type: ignore[misc]


def check(plan: Plan) -> tuple[Finding, ...]:
    """Return what all rules have against ``plan``, in the order of the plan's operations and phases."""
    return tuple(finding for rule in lint_rules() for finding in rule.check(plan))


def operations_at(plan: Plan) -> Iterator[tuple[tuple[str | int, ...], Operation]]:
    """Yield each operation with its path in the plan."""
    for number, operation in enumerate(plan.operations):
        yield ("operations", number, operation.kind), operation


def column_changed(operation: Operation) -> tuple[QName, str] | None:
    """Return the one existing column that ``operation`` gives another shape, or ``None``."""
    table, column = getattr(operation, "table", None), getattr(operation, "column", None)
    if operation.kind.startswith(("add_", "create_", "comment_", "set_comment")):
        return None
    return (table, column) if isinstance(table, QName) and isinstance(column, str) else None


def new_name(operation: Operation) -> str | None:
    """Return the name that the column of ``operation`` gets, where it gets another one."""
    to = getattr(operation, "to", None)
    return to if isinstance(to, str) and to != getattr(operation, "column", None) else None
