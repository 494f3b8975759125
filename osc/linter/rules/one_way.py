"""A way back that the plan gives up, and nobody who agrees to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.errors import Finding, Severity
from osc.linter.rule import operations_at
from osc.plan.phases import ApprovalGate
from osc.program.phase import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan

ID = "one-way"
WHY = "Rollback stops at a step without an undo; that should be somebody's decision, not a surprise at night."


def check(plan: Plan) -> Iterator[Finding]:
    """Yield a warning for ``down: none`` without an approval, and for ``run`` without ``undo`` before contract."""
    approved = any(isinstance(gate, ApprovalGate) for gate in plan.switch.require)
    for path, operation in operations_at(plan):
        if getattr(operation, "down", None) == "none" and not approved:
            message = "down: none makes switch final, and no approval stands before it"
            hint = "give switch an approval, or give down an expression"
            yield Finding("V162", message, hint, Severity.WARNING, path=(*path, "down"))
    for phase in Phase:
        for number, statement in enumerate(plan.phase(phase).run):
            if statement.undo is None and phase is not Phase.CONTRACT:
                message = f"rollback stops at this statement of {phase.value}: it has no undo"
                where = (phase.value, "run", number)
                yield Finding("V163", message, "give it an undo", Severity.WARNING, path=where)
