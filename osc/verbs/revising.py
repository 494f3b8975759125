"""Accepting drift: the phases not yet begun are compiled again for the tables as they are now, as the next revision."""

from __future__ import annotations

from osc.errors import Conflict
from osc.executor.lead import Lead
from osc.plan import PlanFile
from osc.state import changes, registration
from osc.state.changes import Change
from osc.verbs.compiling import compile_source
from osc.verbs.moving import move
from osc.verbs.session import Session


async def accept_drift(session: Session, change: Change, source: PlanFile) -> Change:
    """Return the change with the next revision of its program; approvals given to the old one lapse, for they carry its hash.

    Only before anything was begun can the whole plan be compiled for other tables. Later the tables already carry what
    the begun phases made, which the plan alone does not explain: then it must be put back or rolled back.
    """
    begun = await _begun(session, change)
    if begun:
        raise Conflict(
            f"{change.id} has begun {', '.join(begun)}; its program cannot be made anew on tables it has changed; nothing was changed",
            hint="put the difference back as it was, or roll back, which frees the id for a new attempt",
        )
    async with session.connection(f"{change.id}:compile") as conn:
        compiled = await compile_source(conn, source)

    async def revise(lead: Lead) -> None:
        await lead.ask(registration.revise(lead.control, lead.change, compiled.program, lead.epoch, who=session.who))
        await lead.ask(changes.problem(lead.control, lead.number, None))

    return await move(session, change, "apply", revise)


async def _begun(session: Session, change: Change) -> list[str]:
    async with session.state(f"{change.id}:look") as conn:
        return [str(phase) for phase in await changes.phases(conn, change.number)]
