"""Gates that were opened: early acks count, repeats do nothing, approvals belong to one program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from osc.errors import Conflict
from osc.failpoints import failpoint
from osc.state import changes
from osc.state.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

    from osc.program import GateStep
    from osc.program.phase import Phase
    from osc.state.changes import Change

_queries = Queries("gates.sql")


@dataclass(frozen=True, slots=True)
class OpenGate:
    """A gate somebody opened. An approval counts only while `program_hash` is that of the change."""

    change: int
    gate: str
    opened_by: str
    role: str
    """The session's role as the server knows it: what four-eyes rules compare."""
    opened_at: datetime
    opened_s_ago: float
    program_hash: str
    reason: str


def why_closed(opened: OpenGate | None, step: GateStep, change: Change) -> str | None:
    """Return why what was said of the gate `step` does not open it, ``None`` if it does. Pure.

    An approval is for the program that was shown, for as long as the plan says, and from a second pair of eyes where it
    asks for one (B65); an ack says something about the application, and stands.
    """
    if opened is None:
        return "nobody has approved yet" if step.gate_kind == "approval" else "nobody has said so yet"
    if step.gate_kind != "approval":
        return None
    if opened.program_hash != change.program_hash:
        return f"{opened.opened_by} approved another revision"
    if step.valid_s and opened.opened_s_ago > step.valid_s:
        return f"{opened.opened_by} approved at {opened.opened_at:%Y-%m-%d %H:%M} UTC, which counted for {timedelta(seconds=step.valid_s)}"
    if step.four_eyes and opened.role == change.created_by:
        return f"{opened.opened_by} approved as role {opened.role}, which registered it; it takes a second pair of eyes"
    return None


async def open_gate(
    conn: AsyncConnection[Any], change: Change, gate: str, *, who: str, reason: str = "", valid_s: int = 0
) -> bool:
    """Open the gate for the program of `change`; False, and nothing changed, if it is open for it already.

    With `valid_s` what was said longer ago than that is said anew.

    Raises Conflict if the change is done or rolled back.
    """
    _refuse_over(change)
    data = Jsonb({"gate": gate, "program_hash": change.program_hash, "reason": reason})
    await failpoint("word.before")
    row = await _queries.one(
        conn, "open_gate", change=change.number, gate=gate, who=who, program_hash=change.program_hash,
        reason=reason, data=data, valid_s=valid_s,
    )  # fmt: skip
    await failpoint("word.after")
    return row is not None


async def revoke_gate(
    conn: AsyncConnection[Any], change: Change, gate: str, phase: Phase, *, who: str, reason: str = ""
) -> bool:
    """Close the gate of `phase` again; False if it was not open.

    Raises Conflict once the phase has begun, or if the change is done or rolled back.
    """
    _refuse_over(change)
    data = Jsonb({"gate": gate, "reason": reason})
    await failpoint("word.before")
    row = await _queries.one(conn, "revoke_gate", change=change.number, gate=gate, phase=phase, who=who, data=data)
    await failpoint("word.after")
    if row is None and phase in await changes.phases(conn, change.number):
        raise Conflict(
            f"phase {phase} of {change.id} has begun, so {gate} cannot be revoked; nothing was changed",
            hint="pause it, or roll it back",
            facts={"phase": phase, "gate": gate},
        )
    return row is not None


def _refuse_over(change: Change) -> None:
    if not change.open:
        raise Conflict(f"{change.id} is {change.state}; nothing was changed", facts={"state": change.state})


async def opened(conn: AsyncConnection[Any], change: int) -> dict[str, OpenGate]:
    """Return the gates that are open, by name; only reads."""
    return (await opened_of(conn, [change])).get(change, {})


async def opened_of(conn: AsyncConnection[Any], numbers: Sequence[int]) -> dict[int, dict[str, OpenGate]]:
    """Return the gates that are open, by number of the change and name; only reads."""
    found: dict[int, dict[str, OpenGate]] = {}
    for row in await _queries.all(conn, "opened", changes=list(numbers)):
        found.setdefault(row["change"], {})[row["gate"]] = OpenGate(**row)
    return found
