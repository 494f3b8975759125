"""Whether the state of a change is what osc wrote: asked before anybody leads it, so that damage is refused and not built on.

Only reads, in one snapshot. What is damaged is named, each with a code; nothing is guessed and nothing is repaired (F28).
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncRawCursor

from osc.errors import Finding
from osc.program import FillStep, Phase
from osc.sql import keyset
from osc.sql.pages import CTID
from osc.state import changes, events, journal, slices, transitions
from osc.state.queries import Queries
from osc.state.refusals import LOOK, DamagedState
from osc.state.transitions import Event, State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from psycopg import AsyncConnection

    from osc.program import Program
    from osc.state.changes import Change
    from osc.state.journal import StepRow

_queries = Queries("soundness.sql")
_snapshot = Queries("status.sql")


async def refuse_damage(conn: AsyncConnection[Any], number: int) -> None:
    """Raise DamagedState, with a finding for each thing that is not as osc wrote it.

    S110 the program or the plan's hash, S111 the journal's rows, S112 lease, heartbeat and epochs, S113 state or phases
    that the history does not explain, S114 the history itself, S115 a fill's checkpoint. `conn` is in autocommit and in
    no transaction.
    """
    async with conn.transaction():
        await _snapshot.run(conn, "one_snapshot")
        change = await changes.get(conn, number)
        program = change.program()
        told = await events.history(conn, number)
        rows = await journal.steps(conn, number)
        found = [
            *_program(change, program, told),
            *_journal(program, rows),
            *_epochs(await _queries.one(conn, "epochs", change=number)),
            *_history(change, await changes.phases(conn, number), told, rows),
            *[finding async for finding in _checkpoints(conn, change, program)],
        ]
    if found:
        raise DamagedState(
            f"the state of {change.id} is not as osc wrote it; nothing was changed: {'; '.join(f.message for f in found)}",
            hint=LOOK,
            findings=found,
        )


def _program(change: Change, program: Program, told: list[events.Event]) -> Iterator[Finding]:
    recorded = [
        one.data["program_hash"] for one in told if one.kind in ("register", "revise") and "program_hash" in one.data
    ]
    revised = sum(one.kind == "revise" for one in told)
    if change.plan_hash != program.plan_hash:
        yield Finding("S110", "the plan's hash is not that of the program")
    if revised + 1 != change.revision:
        yield Finding("S110", f"the history knows {revised + 1} revisions, the change is at {change.revision}")
    elif len(recorded) == revised + 1 and recorded[-1] != change.program_hash:
        yield Finding("S110", "the program is not the one that was registered")


def _journal(program: Program, rows: list[StepRow]) -> Iterator[Finding]:
    for ordinal, (step, row) in enumerate(zip_longest(program.steps(), rows), 1):
        if step is None:
            yield Finding("S111", f"the journal has a step that the program has not: {row.step}")
        elif row is None or row.ordinal != ordinal:
            yield Finding("S111", f"step {step.id} has no row in the journal")
            return  # every later one is out of its place as well
        elif (row.step, row.phase, row.kind) != (step.id, step.phase, step.kind):
            yield Finding("S111", f"step {step.id} is {row.step} ({row.phase}, {row.kind}) in the journal")


def _epochs(row: dict[str, Any] | None) -> Iterator[Finding]:
    assert row is not None
    if row["epoch"] is None:
        yield Finding("S112", "the lease row is missing")
    elif row["beat"] is None:
        yield Finding("S112", "the heartbeat row is missing")
    elif row["ahead"] is not None and row["ahead"] > row["epoch"]:
        yield Finding("S112", f"epoch {row['ahead']} is in the future: the lease is at {row['epoch']}")


def _history(
    change: Change, times: dict[Phase, changes.PhaseTimes], told: list[events.Event], rows: list[StepRow]
) -> Iterator[Finding]:
    if not told or not events.verify_chain(told):
        yield Finding("S114", "the history is not whole: an event was changed, is missing, or was put in")
        return
    state, complete = follow(told)
    if state is not change.state:
        yield Finding("S113", f"the change is {change.state}, and its history leads to {state}")
    said = {phase for phase, one in times.items() if one.completed_at is not None}
    if said != complete:
        names = ", ".join(phase for phase in Phase if phase in said ^ complete)
        yield Finding("S113", f"whether these phases are complete is told otherwise by the history: {names}")
    elif change.state is not State.ROLLING_BACK:
        for row in rows:
            if row.phase in complete and row.state != "done":
                yield Finding("S113", f"phase {row.phase} is complete, and its step {row.step} is {row.state}")


def follow(told: Iterable[events.Event]) -> tuple[State | None, set[Phase]]:
    """Return the state that a history leads to and the phases that it completes; None where it leads nowhere."""
    state: State | None = State.REGISTERED
    complete: set[Phase] = set()
    for one in told:
        if one.kind != "state":
            continue
        event = Event(one.data["event"])
        state = transitions.TABLE.get((state, event)) if state is not None else None
        phase = transitions.phase_of(event)
        if event.startswith("complete:") and phase is not None:
            complete.add(phase)
        elif event.startswith("undo-reached:") or event is Event.ROLLED_BACK:
            complete &= set(phase.up_to()) if phase is not None else set()
    return state, complete


async def _checkpoints(conn: AsyncConnection[Any], change: Change, program: Program) -> AsyncIterator[Finding]:
    """Look at the cursors: text that a person may have edited, which a batch would cast and believe.

    On the way back a fill may walk what it kept, by another key; what it puts back is compared row by row there.
    """
    fills = {step.id: step for step in program.steps() if isinstance(step, FillStep)}
    for step_id, step in fills.items():
        if step.put_back is not None and change.state is State.ROLLING_BACK:
            continue
        for piece in await slices.of_step(conn, change.number, step_id):
            if piece.cursor is None:
                continue
            try:
                async with conn.transaction(), AsyncRawCursor(conn) as cursor:
                    key = CTID if piece.walk == "blocks" else step.key
                    await cursor.execute(keyset.is_within(key), [piece.lo, piece.cursor, piece.hi])
                    row = await cursor.fetchone()
            except psycopg.DataError:
                row = None
            if row is None or tuple(row) != (True,):
                yield Finding("S115", f"the checkpoint of {step_id} is not a key between the ends of its slice")
