"""The journal of steps: what was begun, by which epoch, and how it ended.

pending → started → done, with failed and ambiguous beside them; back by undoing → undone. A successor finds
what its predecessor left started and starts it again under its own epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from osc.errors import Conflict
from osc.failpoints import failpoint
from osc.program.phase import Phase
from osc.state import changes
from osc.state.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

STARTABLE = ("pending", "failed", "undone", "started")
"""`started` too: what a process that is gone left open is started again."""

UNDOABLE = ("done", "started", "failed", "undoing")
"""A step that was never started needs no undo; one that failed may have left something behind."""

_queries = Queries("journal.sql")


@dataclass(frozen=True, slots=True)
class StepRow:
    """Where a step is. `step` is its id in the program, `ordinal` its place, from 1."""

    change: int
    ordinal: int
    step: str
    phase: Phase
    kind: str
    state: str
    was: str | None
    """What an ambiguous step was doing: `started` or `undoing`."""
    epoch: int
    attempts: int
    started_at: datetime | None
    done_at: datetime | None
    waiting: str | None
    waiting_since: datetime | None
    detail: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    progress: dict[str, Any] | None
    """What its executor told last: `done`, `total` (an estimate or None), `rate` a second, `unit`, `phase`, `mismatches`."""


async def steps(conn: AsyncConnection[Any], change: int) -> list[StepRow]:
    """Return the journal of a change, in order; only reads."""
    return await steps_of(conn, [change])


async def steps_of(conn: AsyncConnection[Any], numbers: Sequence[int]) -> list[StepRow]:
    """Return the journals of several changes, each in order; only reads."""
    return [_step(row) for row in await _queries.all(conn, "steps", changes=list(numbers))]


async def start(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> StepRow:
    """Mark a step started under `epoch`, one attempt more, and return it.

    The result that an unfinished attempt left is kept. Raises LeaseLost if `epoch` does not lead, Conflict if
    the step is done, being undone or ambiguous.
    """
    return await _begin(conn, change, ordinal, epoch, "started", STARTABLE)


async def begin_undo(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> StepRow:
    """Mark a step as being undone under `epoch` and return it, its result kept.

    Raises LeaseLost if `epoch` does not lead, Conflict if it was never started or is ambiguous.
    """
    return await _begin(conn, change, ordinal, epoch, "undoing", UNDOABLE)


async def drop_attempt(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> None:
    """Mark a step undone that was begun and is known not to have happened.

    In one statement: a step found `undoing` has happened. Raises LeaseLost or Conflict if fenced.
    """
    if await _queries.one(conn, "drop_attempt", change=change, ordinal=ordinal, epoch=epoch) is None:
        await _refuse(conn, change, ordinal, epoch)


async def finish(
    conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, result: dict[str, Any] | None = None
) -> None:
    """Mark a started step done; without `result` the one noted so far stays.

    Raises LeaseLost or Conflict if fenced.
    """
    await _end(conn, change, ordinal, epoch, "done", ("started",), result=result)


async def undone(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> None:
    """Mark a step undone: nothing of it is left. Raises LeaseLost or Conflict if fenced."""
    await _end(conn, change, ordinal, epoch, "undone", ("undoing",))


async def fail(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, error: dict[str, Any]) -> None:
    """Record that the attempt failed: a started step is failed then, one being undone stays so.

    Raises LeaseLost or Conflict if fenced.
    """
    await failpoint("finish.before")
    row = await _queries.one(conn, "end", **_ending(change, ordinal, epoch, "undoing", ("undoing",), error=error))
    await failpoint("finish.after")
    if row is None:
        await _end(conn, change, ordinal, epoch, "failed", ("started",), error=error)


async def ambiguous(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, error: dict[str, Any]) -> None:
    """Record that nobody knows whether it happened: a person must look and `resolve`.

    Nothing starts or undoes the step until then. Raises LeaseLost or Conflict if fenced.
    """
    await _end(conn, change, ordinal, epoch, "ambiguous", ("started", "undoing"), error=error)


async def resolve(
    conn: AsyncConnection[Any], change: int, ordinal: int, *, happened: bool, who: str, reason: str
) -> None:
    """Record a person's verdict on an ambiguous step: it counts as done or as never done.

    Of an undo: undone if it happened, still done if it did not. Raises Conflict if it is not ambiguous.
    """
    data = Jsonb({"ordinal": ordinal, "happened": happened, "reason": reason})
    row = await _queries.one(conn, "resolve", change=change, ordinal=ordinal, happened=happened, who=who, data=data)
    if row is None:
        raise Conflict(f"step {ordinal} is not ambiguous; nothing was changed", hint="see osc status")


async def waiting(
    conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, kind: str | None,
    detail: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Say what a running step waits for, or with None that it does not; one that has just ended waits for nothing.

    Raises LeaseLost or Conflict if fenced.
    """
    params = {"kind": kind, "detail": None if detail is None else Jsonb(detail)}
    row = await _queries.one(conn, "waiting", change=change, ordinal=ordinal, epoch=epoch, **params)
    if row is None and not await _has_ended(conn, change, ordinal, epoch):
        await _refuse(conn, change, ordinal, epoch)


async def progress(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, told: dict[str, Any]) -> None:
    """Keep how far a running step is, for display; does nothing under an old epoch or when it has ended."""
    await _queries.one(conn, "progress", change=change, ordinal=ordinal, epoch=epoch, progress=Jsonb(told))


async def note(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, result: dict[str, Any]) -> None:
    """Add to the result of a running step what a successor must know.

    Raises LeaseLost or Conflict if fenced.
    """
    await failpoint("note.before")
    row = await _queries.one(conn, "note", change=change, ordinal=ordinal, epoch=epoch, result=Jsonb(result))
    await failpoint("note.after")
    if row is None:
        await _refuse(conn, change, ordinal, epoch)


def fence_fragment(
    change: int,
    ordinal: int,
    epoch: int,
    *,
    from_states: Sequence[str],
    to_state: str,
    result_sql: str = "NULL",
) -> str:
    """Return the PL/pgSQL that ends a step's transaction: the journal row moves, or all is rolled back.

    To stand last in a DO block. `start` or `begin_undo` must have given the row this epoch. Raises SQLSTATE
    OSC01 where the row has another epoch or state: a takeover counts up the epoch of every step it finds
    open. Raises OSC02 where the change was paused meanwhile. `result_sql` is an SQL expression of type jsonb.
    """
    text = sql.SQL(_queries.text("fence")).format(
        change=sql.Literal(change), ordinal=sql.Literal(ordinal), epoch=sql.Literal(epoch),
        state=sql.Literal(to_state), is_done=sql.Literal(to_state in ("done", "undone")),
        states=sql.SQL(", ").join(map(sql.Literal, from_states)),
        result=sql.SQL(result_sql),
    )  # fmt: skip
    return text.as_string(None)


async def _begin(
    conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, state: str, states: Sequence[str]
) -> StepRow:
    await failpoint("start.before")
    row = await _queries.one(
        conn, "start", change=change, ordinal=ordinal, epoch=epoch, state=state, states=list(states)
    )
    await failpoint("start.after")
    if row is None:
        await _refuse(conn, change, ordinal, epoch)
    assert row is not None
    return _step(row)


async def _end(
    conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int, state: str, states: Sequence[str],
    *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    params = _ending(change, ordinal, epoch, state, states, result=result, error=error)
    await failpoint("finish.before")
    row = await _queries.one(conn, "end", **params)
    await failpoint("finish.after")
    if row is None:
        await _refuse(conn, change, ordinal, epoch)


def _ending(
    change: int, ordinal: int, epoch: int, state: str, states: Sequence[str],
    *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "change": change, "ordinal": ordinal, "epoch": epoch, "state": state, "states": list(states),
        "keep_result": result is None, "result": None if result is None else Jsonb(result),
        "error": None if error is None else Jsonb(error),
    }  # fmt: skip


async def _has_ended(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> bool:
    """Tell whether the step ended under this epoch: its transaction does that by itself, while others look on."""
    ended = ("done", "undone")
    return any((one.ordinal, one.epoch) == (ordinal, epoch) and one.state in ended for one in await steps(conn, change))


async def _refuse(conn: AsyncConnection[Any], change: int, ordinal: int, epoch: int) -> None:
    """Raise what explains that no row of the journal matched."""
    found = [one for one in await steps(conn, change) if one.ordinal == ordinal]
    now = f"{found[0].state}, epoch {found[0].epoch}" if found else "not in the journal"
    await changes.refuse(conn, change, epoch, f"move its step {ordinal} ({now})")


def _step(row: dict[str, Any]) -> StepRow:
    return StepRow(**{**row, "phase": Phase(row["phase"])})
