"""The rows of osc.change: what a change is, where it stands, and how it moves.

Registration (registration.py) and pauses (pauses.py) are files of their own. Every function is one statement
and so one transaction; `conn` is in autocommit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from osc.errors import Conflict, LeaseLost
from osc.failpoints import failpoint
from osc.program.model import PROGRAM_FORMAT, Program
from osc.program.phase import Phase
from osc.state import transitions
from osc.state.queries import Queries
from osc.state.refusals import LOOK, DamagedState, NewerState
from osc.state.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

Direction = Literal["forward", "back"]

_queries = Queries("changes.sql")


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a change does not go on: which scope (`change:<id>`, `table:<name>`, `*`), who, why, since when."""

    scope: str
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A plan registered in this database, one attempt of it. `number` is its key in every other table."""

    number: int
    id: str
    attempt: int
    revision: int
    state: State
    state_since: datetime
    target: Phase | None
    """The phase last asked for; None with direction back is all the way."""
    direction: Direction
    title: str
    owner: str
    service: str
    labels: dict[str, Any]
    notify: Any
    pacing: dict[str, Any]
    tables: tuple[str, ...]
    plan: str
    plan_hash: str
    program_json: dict[str, Any]
    program_hash: str
    paused: bool
    paused_by: str | None
    paused_reason: str | None
    paused_at: datetime | None
    filled_at: datetime | None
    problem: dict[str, Any] | None
    created_by: str
    created_at: datetime
    effective_pause: Pause | None
    """Its own pause, else that of one of its tables, else everybody's."""

    @property
    def open(self) -> bool:
        """Whether there is anything left to do or undo."""
        return self.state not in transitions.TERMINAL

    def program(self) -> Program:
        """Return the program that runs.

        Raise NewerState or DamagedState if this program cannot be trusted to be it.
        """
        if int(self.program_json.get("format", 0)) > PROGRAM_FORMAT:
            raise NewerState(f"change {self.id} was compiled by a newer osc; nothing was changed", hint="use that osc")
        if program_hash(self.program_json) != self.program_hash:
            raise DamagedState(f"the stored program of {self.id} is not what was registered", hint=LOOK)
        try:
            return Program.model_validate_json(json.dumps(self.program_json))
        except ValidationError as error:
            raise DamagedState(f"the stored program of {self.id} cannot be read", hint=LOOK) from error


def program_hash(data: dict[str, Any]) -> str:
    """Return Program.hash() of what was stored, whatever fields a later osc adds."""
    phases = [{key: value for key, value in one.items() if key != "expects"} for one in data["phases"]]
    return hashlib.sha256(json.dumps({**data, "phases": phases}, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a leader must know before it begins the next thing."""

    state: State
    direction: Direction
    target: Phase | None
    pacing: dict[str, Any]
    epoch: int | None
    """Of the lease: who leads now."""
    pause: Pause | None

    @property
    def wish(self) -> tuple[str, Phase | None]:
        """Direction and target."""
        return self.direction, self.target


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """When a phase began and was completed, by the database's clock."""

    change: int
    phase: Phase
    begun_at: datetime
    completed_at: datetime | None
    completed_s_ago: float | None
    """What `after` gates count."""


async def find(conn: AsyncConnection[Any], id: str) -> Change | None:
    """Return the latest attempt of the plan `id`; only reads."""
    rows = await _select(conn, id=id)
    return rows[-1] if rows else None


async def get(conn: AsyncConnection[Any], number: int) -> Change:
    """Return the change with this number; raise DamagedState if it is gone. Only reads."""
    for change in await _select(conn, number=number):
        return change
    raise DamagedState(f"change number {number} is not in the state any more", hint=LOOK)


async def standing(conn: AsyncConnection[Any], number: int) -> Standing:
    """Return where the change stands, without its program; raise DamagedState if it is gone. Only reads."""
    row = await _queries.one(conn, "standing", change=number)
    if row is None:
        raise DamagedState(f"change number {number} is not in the state any more", hint=LOOK)
    target = None if row["target"] is None else Phase(row["target"])
    return Standing(State(row["state"]), row["direction"], target, row["pacing"], row["epoch"], _pause(row))


async def open_changes(conn: AsyncConnection[Any]) -> list[Change]:
    """Return the changes that are neither done nor rolled back, by id; only reads."""
    return await _select(conn, only_open=True)


async def all_changes(conn: AsyncConnection[Any]) -> list[Change]:
    """Return every attempt of every plan, by id and attempt; only reads."""
    return await _select(conn)


async def attempts(conn: AsyncConnection[Any], id: str) -> list[Change]:
    """Return every attempt of the plan `id`, the first first; only reads."""
    return await _select(conn, id=id)


async def phases(conn: AsyncConnection[Any], change: int) -> dict[Phase, PhaseTimes]:
    """Return the phases that were begun and not undone, in their order; only reads."""
    return (await phases_of(conn, [change])).get(change, {})


async def phases_of(conn: AsyncConnection[Any], numbers: Sequence[int]) -> dict[int, dict[Phase, PhaseTimes]]:
    """Return the phases that were begun and not undone, by number of the change; only reads."""
    found: dict[int, dict[Phase, PhaseTimes]] = {}
    rows = await _queries.all(conn, "phases", changes=list(numbers))
    times = [PhaseTimes(**{**row, "phase": Phase(row["phase"])}) for row in rows]
    for one in sorted(times, key=lambda one: one.phase.order):
        found.setdefault(one.change, {})[one.phase] = one
    return found


async def set_state(conn: AsyncConnection[Any], change: Change, event: Event, epoch: int, *, who: str) -> Change:
    """Move the change by `event` and return it as it then is.

    State, phase times and history are written at once; its problem is cleared. Raises Conflict if the state
    does not take the event, if it is not `change.state` any more, or if a rollback is to end at a phase that
    was not complete; LeaseLost if `epoch` does not lead. Then nothing was changed.
    """
    state = transitions.next_state(change.state, event)
    phase = transitions.phase_of(event)
    backwards = event.startswith("undo-reached:") or event is Event.ROLLED_BACK
    undone = [str(one) for one in Phase if phase is None or one.order > phase.order] if backwards else []
    await failpoint("state.before")
    moved = await _queries.one(
        conn, "set_state", change=change.number, epoch=epoch, expected=change.state, state=state,
        phase=None if backwards else phase, completed=event.startswith("complete:"),
        reached=phase if backwards else None, undone=undone, who=who,
        data=Jsonb({"event": event, "from": change.state, "to": state, "plan_hash": change.plan_hash}),
    )  # fmt: skip
    await failpoint("state.after")
    if moved is None:
        await refuse(conn, change.number, epoch, f"take {event} as {change.state}")
    return await get(conn, change.number)


async def set_target(
    conn: AsyncConnection[Any], change: Change, phase: Phase | None, direction: Direction, *, who: str
) -> Change:
    """Record how far the change is to go, and which way; the leader follows between steps.

    Raises Conflict if the change is done or rolled back, for direction forward while it is being rolled back (a
    phase means where to stop then), or for direction back once the first drop has begun.
    """
    closed = transitions.FINAL if direction == "back" else transitions.TERMINAL | {State.ROLLING_BACK}
    await failpoint("target.before")
    wished = await _queries.one(
        conn, "set_target", change=change.number, target=phase, direction=direction, closed=sorted(closed),
        who=who, data=Jsonb({"target": phase, "direction": direction}),
    )  # fmt: skip
    await failpoint("target.after")
    if wished is None:
        now = await get(conn, change.number)
        raise Conflict(
            f"{change.id} is {now.state} and cannot go {direction}; nothing was changed",
            hint=f"allowed now: {', '.join(transitions.allowed_verbs(now.state))}",
            facts={"state": now.state, "allowed": transitions.allowed_verbs(now.state)},
        )
    return await get(conn, change.number)


async def problem(
    conn: AsyncConnection[Any], change: int, error: dict[str, Any] | None, *, epoch: int | None = None, who: str = "osc"
) -> None:
    """Record the last error of the change, in its history too, or with None that there is none.

    Under an `epoch` that leads no more it does nothing.
    """
    told = None if error is None else Jsonb(error)
    await failpoint("problem.before")
    await _queries.one(conn, "set_problem", change=change, problem=told, epoch=epoch, who=who)
    await failpoint("problem.after")


async def mark_filled(conn: AsyncConnection[Any], change: int, epoch: int) -> datetime:
    """Record that the fill was verified and return when that was first said.

    Raise LeaseLost if `epoch` does not lead.
    """
    await failpoint("filled.before")
    row = await _queries.one(conn, "mark_filled", change=change, epoch=epoch)
    await failpoint("filled.after")
    if row is None:
        await refuse(conn, change, epoch, "be marked as filled")
    filled_at: datetime = row["filled_at"]
    return filled_at


async def refuse(conn: AsyncConnection[Any], change: int, epoch: int, what: str) -> NoReturn:
    """Raise what explains that a fenced statement matched nothing: LeaseLost, DamagedState or Conflict."""
    leading = await _queries.value(conn, "epoch", change=change)
    if leading is None:
        raise DamagedState(f"change number {change} has lost its lease row; nothing was changed", hint=LOOK)
    if leading != epoch:
        raise LeaseLost(
            "another executor leads this change now; this one stopped and wrote nothing more",
            facts={"change": change, "epoch": epoch, "leading_epoch": leading},
        )
    now = await get(conn, change)
    raise Conflict(
        f"{now.id} is {now.state} and cannot {what}; nothing was changed",
        hint=f"allowed now: {', '.join(transitions.allowed_verbs(now.state))}",
        facts={"state": now.state, "allowed": transitions.allowed_verbs(now.state)},
    )


async def _select(
    conn: AsyncConnection[Any], *, number: int | None = None, id: str | None = None, only_open: bool = False
) -> list[Change]:
    rows = await _queries.all(conn, "changes", number=number, id=id, only_open=only_open)
    return [_change(row) for row in rows]


def _change(row: dict[str, Any]) -> Change:
    pause = _pause(row)
    row["state"] = State(row["state"])
    row["target"] = None if row["target"] is None else Phase(row["target"])
    row["tables"] = tuple(row["tables"])
    return Change(**row, effective_pause=pause)


def _pause(row: dict[str, Any]) -> Pause | None:
    """Take the pause out of a row."""
    scope, by, reason, at = (row.pop(f"pause_{name}") for name in ("scope", "by", "reason", "at"))
    return None if scope is None else Pause(scope, by, reason, at)
