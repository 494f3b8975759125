"""Registering a plan: once per id and attempt, whole or not at all, and again without effect.

Apart from changes.py, because it alone writes a program with its steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import errors
from psycopg.types.json import Jsonb

from osc.errors import Conflict, TryAgainLater
from osc.failpoints import failpoint
from osc.program.phase import Phase
from osc.state import changes
from osc.state.queries import Queries
from osc.state.refusals import PlanEdited
from osc.state.transitions import State

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from osc.program.model import Program
    from osc.state.changes import Change

_ATTEMPTS_MAX = 5
_queries = Queries("changes.sql")


@dataclass(frozen=True, slots=True)
class Submission:
    """A plan as it comes: its text, what it compiled to, and what may change without a new hash."""

    plan: str
    """The YAML as submitted."""
    program: Program
    title: str = ""
    owner: str = ""
    service: str = ""
    labels: dict[str, Any] = field(default_factory=dict)
    notify: Any = None
    pacing: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.program.plan_id

    @property
    def plan_hash(self) -> str:
        return self.program.plan_hash


async def register(conn: AsyncConnection[Any], submission: Submission, *, who: str) -> Change:
    """Register the plan and return its change: new, or the one that is there with the same hash.

    A change that is there takes over title, owner, service, labels, notify, pacing and text. After a complete
    rollback a new attempt begins, whatever the hash. Change, steps, lease and history row are written at once
    or not at all. Raises PlanEdited if the id is registered with another hash; nothing was changed then.
    """
    for _ in range(_ATTEMPTS_MAX):
        latest = await changes.find(conn, submission.id)
        if latest is not None and latest.state is not State.ROLLED_BACK:
            return await _again(conn, latest, submission, who)
        try:
            return await _insert(conn, submission, 1 if latest is None else latest.attempt + 1, who)
        except errors.UniqueViolation:
            continue  # another executor registered this id meanwhile; look again
    raise TryAgainLater(f"{submission.id} is being registered by others; nothing was changed", hint="run it again")


async def revise(conn: AsyncConnection[Any], change: Change, program: Program, epoch: int, *, who: str) -> Change:
    """Replace the program for the phases not yet begun, as the next revision, and return the change.

    The journal of phases that were begun stays as it is, so their steps must be the same in `program`.
    Raises LeaseLost if `epoch` does not lead, Conflict if steps of a begun phase differ, another revision
    came first or a phase began meanwhile.
    """
    begun = await changes.phases(conn, change.number)
    phases = [phase for phase in Phase if phase not in begun]
    _same_steps(change, program, list(begun))
    data = program.model_dump(mode="json")
    hash_ = changes.program_hash(data)
    steps = [(n, one) for n, one in enumerate(program.steps(), 1) if one.phase in phases]
    await failpoint("register.before")
    revised = await _queries.one(
        conn, "revise", change=change.number, epoch=epoch, revision=change.revision, program=Jsonb(data),
        program_hash=hash_, phases=phases, ordinals=[n for n, _ in steps],
        steps=[one.id for _, one in steps], step_phases=[one.phase for _, one in steps],
        kinds=[one.kind for _, one in steps], who=who,
        data=Jsonb({"revision": change.revision + 1, "phases": phases, "program_hash": hash_}),
    )  # fmt: skip
    await failpoint("register.after")
    if revised is None:
        await changes.refuse(conn, change.number, epoch, f"go on from revision {change.revision}")
    return await changes.get(conn, change.number)


def _same_steps(change: Change, program: Program, begun: list[Phase]) -> None:
    before = change.program()
    for phase in begun:
        if [one.id for one in before.phase(phase).steps] != [one.id for one in program.phase(phase).steps]:
            raise Conflict(
                f"phase {phase} of {change.id} has begun, its steps cannot change any more; nothing was changed",
                hint=f"roll back to before {phase} first",
                facts={"phase": phase},
            )


async def _insert(conn: AsyncConnection[Any], submission: Submission, attempt: int, who: str) -> Change:
    program = submission.program
    data, steps = program.model_dump(mode="json"), program.steps()
    hash_ = changes.program_hash(data)
    await failpoint("register.before")
    row = await _queries.one(
        conn, "register", **_details(submission), id=submission.id, attempt=attempt,
        tables=[str(table) for table in program.tables], plan_hash=submission.plan_hash,
        program=Jsonb(data), program_hash=hash_,
        steps=[step.id for step in steps], phases=[str(step.phase) for step in steps],
        kinds=[step.kind for step in steps], who=who,
        data=Jsonb({"attempt": attempt, "plan_hash": submission.plan_hash, "program_hash": hash_}),
    )  # fmt: skip
    await failpoint("register.after")
    assert row is not None
    return await changes.get(conn, row["number"])


async def _again(conn: AsyncConnection[Any], there: Change, submission: Submission, who: str) -> Change:
    if there.plan_hash != submission.plan_hash:
        raise PlanEdited(
            f"{there.id} is registered with other operations and is {there.state}; nothing was changed",
            hint="put the operations back as they were, or roll the change back: that frees its id",
            facts={"state": there.state, "registered": there.plan_hash, "submitted": submission.plan_hash},
        )
    details = _details(submission)
    data = Jsonb({"title": submission.title, "owner": submission.owner})
    await failpoint("register.before")
    await _queries.one(
        conn,
        "describe_anew",
        **details,
        change=there.number,
        plan_hash=submission.plan_hash,
        who=who,
        data=data,
    )
    await failpoint("register.after")
    return await changes.get(conn, there.number)


def _details(submission: Submission) -> dict[str, Any]:
    return {
        "title": submission.title,
        "owner": submission.owner,
        "service": submission.service,
        "labels": Jsonb(submission.labels),
        "notify": None if submission.notify is None else Jsonb(submission.notify),
        "pacing": Jsonb(submission.pacing),
        "plan": submission.plan,
    }
