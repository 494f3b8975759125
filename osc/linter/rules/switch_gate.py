"""A switch that nobody has to announce."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding, Severity
from osc.linter.rule import operations_at
from osc.plan.phases import AckGate, ApprovalGate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan

ID = "switch-gate"
WHY = "After switch the new column is the truth: an application that knows only the old one reads stale values."

_SWITCHES = ("change_", "rename_", "replace_")


def check(plan: Plan) -> Iterator[Finding]:
    """Yield one warning if columns switch and no ack or approval says that the application is ready."""
    asked = any(isinstance(gate, AckGate | ApprovalGate) for gate in plan.switch.require)
    if not asked and any(operation.kind.startswith(_SWITCHES) for _, operation in operations_at(plan)):
        message = "nothing says that the new application is live before switch"
        hint = "add switch: {require: [{ack: app-new}]} and let the pipeline open it"
        yield Finding("V161", message, hint, Severity.WARNING, path=("switch",))
