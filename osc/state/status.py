"""Everything `status` shows, read from one snapshot; changes nothing and takes no lock but ACCESS SHARE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.state import changes, gates, journal, lease, schema, slices, transitions, verifications
from osc.state.queries import Queries
from osc.state.refusals import NewerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection

    from osc.program.phase import Phase
    from osc.state.changes import Change, PhaseTimes
    from osc.state.gates import OpenGate
    from osc.state.journal import StepRow
    from osc.state.lease import Leader
    from osc.state.slices import Progress
    from osc.state.verifications import Verification

_queries = Queries("status.sql")


@dataclass(frozen=True, slots=True)
class ChangeStatus:
    """A change with all that is known of it. Its state, pause and problem are in `change`."""

    change: Change
    phases: dict[Phase, PhaseTimes]
    steps: tuple[StepRow, ...]
    progress: dict[str, Progress]
    """By step: sums over its slices."""
    verifications: dict[str, Verification]
    """By step: the newest finished pass."""
    gates: dict[str, OpenGate]
    leader: Leader | None

    @property
    def steps_done(self) -> int:
        return sum(step.state == "done" for step in self.steps)

    @property
    def current(self) -> StepRow | None:
        """The step that runs, waits or needs a person; None between steps."""
        return next((one for one in self.steps if one.state in ("started", "undoing", "ambiguous", "failed")), None)

    @property
    def allowed_verbs(self) -> tuple[str, ...]:
        return transitions.allowed_verbs(self.change.state)


async def status(conn: AsyncConnection[Any], id: str | None = None) -> list[ChangeStatus]:
    """Return the open changes, or all attempts of one id, as of one moment.

    Empty where schema `osc` is absent or not yet of this version; raises NewerState where it is newer. `conn`
    is in autocommit and in no transaction.
    """
    async with conn.transaction():
        await _queries.run(conn, "one_snapshot")
        version = await schema.schema_state(conn)
        if version == "newer":
            raise NewerState("the state was written by a newer osc", hint="use the newer osc")
        if version != "current":
            return []
        wanted = await (changes.open_changes(conn) if id is None else changes.attempts(conn, id))
        return await _complete(conn, wanted)


async def _complete(conn: AsyncConnection[Any], wanted: Sequence[Change]) -> list[ChangeStatus]:
    numbers = [change.number for change in wanted]
    times = await changes.phases_of(conn, numbers)
    steps = await journal.steps_of(conn, numbers)
    progress = await slices.progress(conn, numbers)
    verified = await verifications.latest_of(conn, numbers)
    opened = await gates.opened_of(conn, numbers)
    leaders = await lease.leaders(conn, numbers)
    return [
        ChangeStatus(
            change=change,
            phases=times.get(change.number, {}),
            steps=tuple(one for one in steps if one.change == change.number),
            progress={one.step: one for one in progress if one.change == change.number},
            verifications={one.step: one for one in verified if one.change == change.number},
            gates=opened.get(change.number, {}),
            leader=leaders.get(change.number),
        )
        for change in wanted
    ]
