"""resolve: a person's verdict on a step of which nobody knows whether it happened; only then does the change go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.errors import Conflict, UsageError
from osc.plan.words import did_you_mean
from osc.state import changes, journal
from osc.verbs.advising import go_on
from osc.verbs.documents import plain
from osc.verbs.registered import registered

if TYPE_CHECKING:
    from osc.state.journal import StepRow
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the step counts as now, and the command that goes on."""

    change_id: str
    step: str
    happened: bool
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return dict(plain(self))


async def resolve(session: Session, change_id: str, step: str, *, happened: bool, reason: str) -> Resolved:
    """Record that the ambiguous ``step`` happened, or that it did not; ``reason`` says how that was seen.

    Raises UsageError without a reason or for an unknown step, Conflict for a step that is not ambiguous.
    """
    if not reason.strip():
        raise UsageError("a verdict needs a reason", hint="--reason 'the index is there, valid: \\d users'")
    async with registered(session, change_id, "resolve") as (conn, change):
        row = _row(await journal.steps(conn, change.number), step)
        if row.state != "ambiguous":
            raise Conflict(
                f"step {row.step} is {row.state}, not ambiguous; nothing was changed", hint=f"osc status {change_id}"
            )
        await journal.resolve(conn, change.number, row.ordinal, happened=happened, who=session.who, reason=reason)
        if (change.problem or {}).get("step") == row.step or (change.problem or {}).get("exit_code") == 6:
            await changes.problem(conn, change.number, None)
        verdict = "happened" if happened else "did not happen"
        return Resolved(change_id, row.step, happened, f"{row.step} {verdict}; go on with: {go_on(change)}")


def _row(rows: list[StepRow], step: str) -> StepRow:
    found = next((row for row in rows if row.step == step), None)
    if found is not None:
        return found
    ambiguous = [row.step for row in rows if row.state == "ambiguous"]
    hint = did_you_mean(step, ambiguous or [row.step for row in rows])
    raise UsageError(f"there is no step {step!r}", hint=hint)
