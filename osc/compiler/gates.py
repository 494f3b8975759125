"""Gates of a plan: as declared for people, and as the first steps of their phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.plan.phases import AckGate, ApprovalGate, HttpGate, SqlGate
from osc.program import Gate, GateStep, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.plan.model import Plan


def declared(plan: Plan) -> tuple[Gate, ...]:
    """Return every gate of ``plan`` with its phase."""
    return tuple(
        Gate(phase=step.phase, kind=step.gate_kind, name=step.gate) for phase in Phase for step in steps(plan, phase)
    )


def steps(plan: Plan, phase: Phase) -> Iterator[GateStep]:
    """Yield the gate steps that stand before everything else in ``phase``."""
    settings = plan.phase(phase)
    if settings.after is not None and settings.after.amount:
        seconds = round(settings.after.seconds)
        yield GateStep(
            id="gate.after",
            phase=phase,
            gate_kind="after",
            gate=f"after-{phase.value}",
            seconds=seconds,
            title=f"Wait until {settings.after} after the end of the phase before",
        )
    if settings.hours is not None:
        yield GateStep(
            id="gate.hours",
            phase=phase,
            gate_kind="hours",
            gate=f"hours-{phase.value}",
            hours=str(settings.hours),
            days=tuple(sorted(settings.hours.days)),
            since=settings.hours.since,
            until=settings.hours.until,
            zone=settings.hours.zone,
            title=f"Begin only in these hours: {settings.hours}",
        )
    for number, gate in enumerate(settings.require, 1):
        match gate:
            case AckGate(ack=name):
                yield GateStep(
                    id=f"gate.ack.{name}",
                    phase=phase,
                    gate_kind="ack",
                    gate=name,
                    title=f"Somebody says: {name} (osc ack)",
                )
            case ApprovalGate(approval=name, valid_for=valid_for, four_eyes=four_eyes):
                yield GateStep(
                    id=f"gate.approval.{name}",
                    phase=phase,
                    gate_kind="approval",
                    gate=name,
                    valid_s=round(valid_for.seconds) if valid_for is not None else 0,
                    four_eyes=four_eyes,
                    title=f"Approval by {name} (osc ack)",
                )
            case SqlGate(sql=sql):
                yield GateStep(
                    id=f"gate.sql.{number}",
                    phase=phase,
                    gate_kind="sql",
                    gate=f"sql-{phase.value}-{number}",
                    sql=str(sql),
                    title="A query answers true",
                )
            case HttpGate(http=url):
                yield GateStep(
                    id=f"gate.http.{number}",
                    phase=phase,
                    gate_kind="http",
                    gate=f"http-{phase.value}-{number}",
                    url=url,
                    title=f"{url} answers 200",
                )
