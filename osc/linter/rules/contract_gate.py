"""A contract that drops data with nothing before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding, Severity
from osc.linter.rule import operations_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan

ID = "contract-gate"
WHY = "Contract is where rollback ends; without time or a person before it a pipeline may take it by mistake."

_DROPS = ("change_", "rename_", "replace_", "drop_", "delete_")


def check(plan: Plan) -> Iterator[Finding]:
    """Yield one warning if an operation drops something and contract neither waits nor asks."""
    guarded = plan.contract.require or plan.contract.after is not None or plan.contract.keep_for is not None
    drops = any(operation.kind.startswith(_DROPS) for _, operation in operations_at(plan))
    if drops and not guarded:
        message = "contract drops data, and nothing stands before it"
        hint = "give it after: 7d, or require an ack or approval"
        yield Finding("V160", message, hint, Severity.WARNING, path=("contract",))
