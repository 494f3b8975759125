"""wait: return when a phase is complete, and at once when waiting cannot help. Reads only."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from osc.errors import Conflict, GateClosed, OscError, OutcomeUnknown, TryAgainLater
from osc.executor.reports import Report
from osc.verbs.gates import PERSON
from osc.verbs.outcome import Outcome
from osc.verbs.recalled import recalled
from osc.verbs.standing import Condition, Standing
from osc.verbs.status import watch

if TYPE_CHECKING:
    from osc.program import Phase
    from osc.verbs.session import Session


async def wait(session: Session, change_id: str, phase: Phase, timeout: float | None = None) -> Outcome:
    """Return once ``phase`` is complete.

    Raises at once: the recorded problem where nobody leads, GateClosed where a person must open a gate, Conflict where
    the change is on its way back, OutcomeUnknown where a step is ambiguous. After ``timeout`` seconds TryAgainLater.
    """
    begun, told = session.clock.monotonic(), ""
    async with aclosing(watch(session, change_id, session.settings.poll_s)) as looks:
        async for overview in looks:
            now = overview.changes[0]
            if now.phases[phase] == "complete" and now.direction == "forward":
                return Outcome(now.id, now.state, str(now.phase or ""), f"{now.id}: {phase} is complete")
            stuck = hopeless(now, phase)
            if stuck is not None:
                raise stuck
            if timeout is not None and session.clock.monotonic() - begun >= timeout:
                raise _over(now, phase, timeout)
            told = _tell(session, now, phase, told)
    raise AssertionError("unreachable")  # watch never ends by itself


def hopeless(now: Standing, phase: Phase) -> OscError | None:
    """Return what to raise where waiting for ``phase`` cannot help, else ``None``."""
    match now.condition:
        case Condition.AMBIGUOUS:
            message = f"a step of {now.id} is ambiguous, so {phase} does not come by itself"
            return OutcomeUnknown(message, hint=now.next.command)
        case Condition.ROLLED_BACK:
            return Conflict(f"{now.id} is rolled back, so {phase} does not come", hint=now.next.command)
        case _ if now.direction == "back":
            return Conflict(f"{now.id} is on its way back, so {phase} does not come", hint="osc status " + now.id)
        case Condition.FAILED:
            return recalled(now.problem or {})
    return _closed(now, phase) if not now.leader else None


def _closed(now: Standing, phase: Phase) -> GateClosed | None:
    shut = [
        gate for gate in now.gates if gate.open is False and gate.kind in PERSON and gate.phase.order <= phase.order
    ]
    if not shut or shut[0].command != now.next.command:
        return None
    gate = shut[0]
    return GateClosed(
        f"{gate.phase} of {now.id} waits for the {gate.kind} {gate.name}",
        hint=gate.command,
        facts={"gate": gate.name, "kind": gate.kind, "phase": str(gate.phase)},
    )


def _tell(session: Session, now: Standing, phase: Phase, told: str) -> str:
    """Say once each time it becomes true that nobody leads or what it waits for; return what was said last."""
    sentence = _sentence(now, phase)
    if sentence and sentence != told:
        session.listener(Report(kind="waiting", change=now.id, message=sentence, waiting=now.condition.name.lower()))
    return sentence


def _sentence(now: Standing, phase: Phase) -> str:
    if now.waiting:
        return now.waiting
    return "" if now.leader else f"nobody leads it; run: {_command(now, phase)}"


def _command(now: Standing, phase: Phase) -> str:
    if now.condition is Condition.PAUSED:
        return now.next.command
    return f"osc advance {now.id} --to {phase}   (or osc worker)"


def _over(now: Standing, phase: Phase, timeout: float) -> TryAgainLater:
    what = f"{now.id} is {now.state} and {now.condition}" + (f" ({now.waiting})" if now.waiting else "")
    hint = f"osc wait {now.id} {phase}" if now.leader else f"nobody leads it; run: {_command(now, phase)}"
    return TryAgainLater(f"{phase} was not complete after {timeout:g} s: {what}", hint=hint, facts={"state": now.state})
