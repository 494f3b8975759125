"""Gates: looked at when their phase wants to begin; closed, they end the command at once with who can open them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

import psycopg

from osc.errors import GateClosed, OscError, TryAgainLater
from osc.executor.asking import http_status, one_value, without_secrets
from osc.executor.explaining import said
from osc.executor.hours import open_at
from osc.executor.lead import Lead
from osc.pg.outcome import quoted_of
from osc.pg.session import run
from osc.program import GateStep, Phase
from osc.state import changes, gates, journal
from osc.state.journal import StepRow


async def do(lead: Lead, step: GateStep, row: StepRow) -> None:
    """Pass the gate if it is open; afterwards the step is done. Raises GateClosed or TryAgainLater."""
    closed = await why_closed(lead, step)
    if closed is not None:
        told = closed.redacted() if lead.settings.redact else closed
        detail = {"gate": step.gate, "kind": step.gate_kind, "message": told.message}
        await lead.ask(journal.waiting(lead.control, lead.number, row.ordinal, lead.epoch, "gate", detail))
        raise closed
    await lead.ask(journal.finish(lead.control, lead.number, row.ordinal, lead.epoch))


async def why_closed(lead: Lead, step: GateStep) -> OscError | None:
    """Return what to raise while the gate is closed, ``None`` if it is open."""
    match step.gate_kind:
        case "ack" | "approval":
            return await _word(lead, step)
        case "after":
            return await _time(lead, step)
        case "hours":
            return await _hours(lead, step)
        case "sql":
            return await _query(lead, step)
        case "http":
            return await _address(lead, step)


async def _word(lead: Lead, step: GateStep) -> OscError | None:
    opened = (await lead.ask(gates.opened(lead.control, lead.number))).get(step.gate)
    why = gates.why_closed(opened, step, lead.change)
    if why is None:
        return None
    return GateClosed(
        f"{step.phase} of {lead.change.id} waits for the {step.gate_kind} {step.gate}: {why}; nothing was begun",
        hint=f"osc ack {lead.change.id} {step.gate}",
        facts={"gate": step.gate, "kind": step.gate_kind, "phase": str(step.phase)},
    )


async def _time(lead: Lead, step: GateStep) -> OscError | None:
    passed_s = await _since(lead, step)
    if passed_s is None or passed_s >= step.seconds:
        return None
    left = step.seconds - passed_s
    return TryAgainLater(
        f"{step.phase} of {lead.change.id} begins {step.seconds} s after what was before it; {left:.0f} s are left",
        hint=f"osc advance {lead.change.id} --to {step.phase} after that, or with --if-ready in a schedule",
        facts={"gate": step.gate, "seconds_left": round(left)},
    )


async def _since(lead: Lead, step: GateStep) -> float | None:
    """Return the seconds since the end of the phase before, or, inside a phase, of the step before; ``None``: no such."""
    rows = await lead.ask(journal.steps(lead.control, lead.number))
    mine = next(row for row in rows if row.step == step.id)
    before = [
        row
        for row in rows
        if row.phase == mine.phase and row.ordinal < mine.ordinal and row.kind != "gate" and row.done_at
    ]
    moment = await now(lead)
    if before:
        return max(0.0, (moment - max(row.done_at for row in before if row.done_at)).total_seconds())
    times = await lead.ask(changes.phases(lead.control, lead.number))
    earlier = [phase for phase in Phase if phase.order < step.phase.order and phase in times]
    return times[earlier[-1]].completed_s_ago if earlier else None


async def now(lead: Lead) -> datetime:
    """Return the database's time."""
    cursor = await run(lead.control, "SELECT pg_catalog.clock_timestamp()", deadline_s=lead.settings.query_deadline_s)
    row = await cursor.fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


async def _hours(lead: Lead, step: GateStep) -> OscError | None:
    if open_at(step, await now(lead)):
        return None
    return TryAgainLater(f"{step.phase} of {lead.change.id} begins only in these hours: {step.hours}",
                         hint="try again then, or change hours in the plan", facts={"gate": step.gate})  # fmt: skip


async def _query(lead: Lead, step: GateStep) -> OscError | None:
    assert step.sql is not None
    try:
        value = await one_value(lead.observer, step.sql, timeout_s=lead.settings.query_deadline_s)
    except psycopg.Error as error:
        return TryAgainLater(
            f"the gate {step.gate} could not be asked: {said(error)}",
            hint="a gate that cannot answer is closed; mend its query",
            facts={"gate": step.gate},
            quoted=quoted_of(error),
        )
    if value is True:
        return None
    return TryAgainLater(
        f"the gate {step.gate} says no: {step.sql}",
        hint="try again when its query answers true",
        facts={"gate": step.gate},
    )


async def _address(lead: Lead, step: GateStep) -> OscError | None:
    assert step.url is not None
    answer = await http_status(step.url, lead.settings.gate_http_timeout_s)
    if answer == HTTPStatus.OK:
        return None
    told = answer if isinstance(answer, int) else f"nothing ({answer})"
    return TryAgainLater(
        f"the gate {step.gate} is closed: {without_secrets(step.url)} answers {told}",
        hint="it opens with status 200",
        facts={"gate": step.gate},
    )
