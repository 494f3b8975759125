"""apply: register a plan (or every plan of a directory), then advance it; without a target it stops after backfill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from osc.errors import Conflict, Refused
from osc.executor.reports import Report
from osc.pg.session import Connection
from osc.plan import PlanFile, open_plans
from osc.plan.pacing import pacing
from osc.program import Phase
from osc.settings import Settings
from osc.state import changes, registration
from osc.state.changes import Change
from osc.state.registration import Submission
from osc.state.transitions import State
from osc.verbs.advance import advance_change
from osc.verbs.compiling import Compiled, compile_source, probe, prove
from osc.verbs.outcome import Outcome, outcome_of
from osc.verbs.revising import accept_drift as accept
from osc.verbs.session import Session

DEFAULT_TARGET = Phase.BACKFILL
"""Everything up to here leaves the running application alone; what follows is a release's decision."""


async def apply(
    session: Session, path: Path, *, to: Phase | None = None, detach: bool = False, accept_drift: bool = False
) -> list[Outcome]:
    """Bring the plan at ``path`` to ``to``; a directory's plans one after the other in id order, finished ones passed.

    Raises InvalidPlan or Refused with every finding before anything is written, and whatever stops an advance.
    """
    sources = open_plans(path)
    return [await _apply(session, source, to, detach=detach, accept_drift=accept_drift) for source in sources]


async def _apply(session: Session, source: PlanFile, to: Phase | None, *, detach: bool, accept_drift: bool) -> Outcome:
    for warning in source.warnings:
        session.listener(Report(kind="note", change=source.plan.id, message=f"warning: {warning.line()}"))
    change = await register(session, source)
    if change.state is State.DONE:
        return outcome_of(change, f"{change.id} is done already")
    if accept_drift:
        change = await accept(session, change, source)
    target = to or (change.target if change.direction == "forward" else None) or DEFAULT_TARGET
    return await advance_change(session, change, target, kind="apply", detach=detach)


async def register(session: Session, source: PlanFile) -> Change:
    """Return the change for the plan: the one that is there with the same hash, or a new one, proven and probed first."""
    async with session.state(f"{source.plan.id}:register") as conn:
        known = await _known(conn, source)
        if known is None:
            try:
                compiled = await _compile(conn, source, session.settings)
            except Refused:
                # Another executor may have registered it since our look, and what is refused is its own work.
                known = await _known(conn, source)
                if known is None:
                    raise
            else:
                return await registration.register(conn, submission(compiled), who=session.who)
        # Its program was compiled for the tables as they were; the same plan is only described anew.
        return await registration.register(conn, _submission(source, known), who=session.who)


async def _known(conn: Connection, source: PlanFile) -> Change | None:
    known = await changes.find(conn, source.plan.id)
    return known if known is not None and known.state is not State.ROLLED_BACK else None


async def _compile(conn: Connection, source: PlanFile, settings: Settings) -> Compiled:
    """Compile, prove and probe; nothing is kept in the database."""
    compiled = await compile_source(conn, source)
    await _refuse_busy_tables(conn, compiled)
    program, findings = await prove(conn, compiled, settings)
    if not findings:
        # A probe evaluates the plan's expressions, so only what is proven to be immutable gets there (B36).
        findings = await probe(conn, compiled, settings, proven=True)
    if any(finding.severity == "error" for finding in findings):
        raise Refused(
            f"plan {source.plan.id} cannot be run; nothing was changed", hint="mend what is listed", findings=findings
        )
    return replace(compiled, program=program)


def submission(compiled: Compiled) -> Submission:
    """Return the plan as the state keeps it."""
    plan = compiled.source.plan
    return Submission(plan=compiled.source.text, program=compiled.program, title=plan.title, owner=plan.owner, service=plan.service,
                      labels=dict(plan.labels), notify=plan.as_data().get("notify"), pacing=pacing(plan.backfill))  # fmt: skip


def _submission(source: PlanFile, known: Change) -> Submission:
    plan = source.plan
    program = known.program().model_copy(update={"plan_hash": plan.hash()})
    return Submission(plan=source.text, program=program, title=plan.title, owner=plan.owner, service=plan.service,
                      labels=dict(plan.labels), notify=plan.as_data().get("notify"), pacing=pacing(plan.backfill))  # fmt: skip


async def _refuse_busy_tables(conn: Connection, compiled: Compiled) -> None:
    """One open change a table: two of them would rename and index under each other (F36)."""
    tables = {str(table) for table in compiled.program.tables}
    for other in await changes.open_changes(conn):
        shared = tables & set(other.tables)
        if shared and other.id != compiled.program.plan_id:
            raise Conflict(
                f"table {', '.join(sorted(shared))} is being changed by {other.id} ({other.state}); nothing was changed",
                hint=f"finish or roll back {other.id} first",
                facts={"change": other.id, "tables": sorted(shared)},
            )


__all__ = ["apply", "register"]
