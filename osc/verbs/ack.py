"""ack: say that a gate is open (the application is live, somebody approves), or take it back before its phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.errors import Conflict, UsageError
from osc.plan.words import did_you_mean
from osc.program import FillStep, GateStep, Phase, Program
from osc.state import gates
from osc.verbs.documents import plain
from osc.verbs.gates import PERSON
from osc.verbs.registered import registered

if TYPE_CHECKING:
    from osc.state.changes import Change
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Whether the gate is open now, and whether this call made it so."""

    change_id: str
    gate: str
    open: bool
    changed: bool
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def ack(session: Session, change_id: str, gate: str, *, revoke: bool = False, reason: str = "") -> Acknowledged:
    """Open ``gate`` of the change, or close it again; what is so already stays so.

    Raises UsageError for what is no gate of the change that a person opens, and Conflict: for an early word on switch
    while the fill is not verified, for an approval by the role that registered the plan where the plan asks for four eyes,
    for a revocation once the phase has begun, for a change that is over.
    """
    async with registered(session, change_id, "ack") as (conn, change):
        program = change.program()
        found = _gates(program, gate, change_id)
        if revoke:
            changed = await gates.revoke_gate(conn, change, gate, found[-1].phase, who=session.who, reason=reason)
            return _closed(change_id, gate, found[-1], changed=changed)
        if gate not in await gates.opened(conn, change.number):
            _refuse_too_early(change, program, found)
        _refuse_same_eyes(change, found, conn.info.user)
        valid_s = min((step.valid_s for step in found if step.valid_s), default=0)
        changed = await gates.open_gate(conn, change, gate, who=session.who, reason=reason, valid_s=valid_s)
        return _opened(change_id, gate, found[0], changed=changed)


def _gates(program: Program, gate: str, change_id: str) -> list[GateStep]:
    """Return the gate in each phase that asks for it, in their order."""
    all_gates = [step for step in program.steps() if isinstance(step, GateStep)]
    found = [step for step in all_gates if step.gate == gate and step.gate_kind in PERSON]
    if found:
        return found
    other = next((step for step in all_gates if step.gate == gate), None)
    if other is not None:
        raise UsageError(f"{gate} is a gate of kind {other.gate_kind}: no person opens it, it opens by itself")
    known = [step.gate for step in all_gates if step.gate_kind in PERSON]
    hint = did_you_mean(gate, dict.fromkeys(known)) or "it has no gate that a person opens"
    raise UsageError(f"{change_id} has no gate {gate!r}", hint=hint)


def _refuse_too_early(change: Change, program: Program, found: list[GateStep]) -> None:
    """Until the fill is verified the new application may write absolute values only, so it cannot be live."""
    about_switch = any(step.phase is Phase.SWITCH and step.gate_kind == "ack" for step in found)
    fills = any(isinstance(step, FillStep) for step in program.steps())
    if about_switch and fills and change.filled_at is None:
        raise Conflict(
            f"{change.id} is not filled yet, so {found[0].gate} cannot be true; nothing was changed",
            hint="until the fill is verified the new application may only write absolute values and must not rely on "
            f"reading the new column; first: osc wait {change.id} {Phase.BACKFILL}",
            facts={"state": str(change.state), "gate": found[0].gate},
        )


def _refuse_same_eyes(change: Change, found: list[GateStep], role: str) -> None:
    """Names that people give themselves prove nothing; whom the server let in as which role does."""
    if any(step.four_eyes for step in found) and role == change.created_by:
        raise Conflict(
            f"{change.id} was registered by role {role}, and {found[0].gate} takes a second pair of eyes; nothing was changed",
            hint="let somebody ack it who connects as another role",
            facts={"gate": found[0].gate, "role": role},
        )


def _opened(change_id: str, gate: str, step: GateStep, *, changed: bool) -> Acknowledged:
    message = f"{gate} is open" if changed else f"{gate} was open already"
    return Acknowledged(
        change_id, gate, True, changed, f"{change_id}: {message}; osc advance {change_id} --to {step.phase}"
    )


def _closed(change_id: str, gate: str, step: GateStep, *, changed: bool) -> Acknowledged:
    message = f"{gate} is closed again; {step.phase} waits for it" if changed else f"{gate} was not open"
    return Acknowledged(change_id, gate, False, changed, f"{change_id}: {message}")
