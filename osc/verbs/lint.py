"""lint: everything that can be said against plans without changing anything; more of it with a database at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.errors import Finding, InvalidPlan, OscError, Place, Refused, Severity
from osc.linter import as_json, findings_offline
from osc.plan import PlanFile, open_plans
from osc.state import changes
from osc.state.schema import schema_state
from osc.state.transitions import State
from osc.verbs.compiling import compile_source, probe, type_expressions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from osc.pg.session import Connection
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class LintResult:
    """Every finding of every plan, in the order of files and places."""

    findings: tuple[Finding, ...]
    plans: tuple[str, ...]
    """Ids of the plans that could be read."""
    checked_against_database: bool
    unreadable: bool
    """Whether a file could not be read as a plan."""
    registered: tuple[str, ...] = ()
    """Plans that run or ran here: their tables are not as they were, so they were not compiled again."""

    @property
    def exit_code(self) -> int:
        """2 where a file is no valid plan, 3 where something says no, else 0; warnings only speak."""
        if self.unreadable:
            return InvalidPlan.exit_code
        return Refused.exit_code if any(one.severity is Severity.ERROR for one in self.findings) else 0

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        report = as_json(self.findings, offline=not self.checked_against_database)
        return {**report, "plans": list(self.plans), "registered": list(self.registered)}


async def lint(session: Session | None, paths: Sequence[Path]) -> LintResult:
    """Check the plans at ``paths`` (files and directories); with a session also against its database, reading only."""
    sources, findings = _read(paths)
    unreadable = bool(findings)
    for source in sources:
        findings += (*source.warnings, *source.placed(findings_offline(source.plan)))
    known: list[str] = []
    if session is not None and sources:
        async with session.connection("lint", read_only=True) as conn:
            known = await _registered(conn)
            for source in sources:
                if source.plan.id not in known:
                    findings += await _on_database(session, conn, source)
    plans = tuple(source.plan.id for source in sources)
    skipped = tuple(plan for plan in plans if plan in known)
    found = sorted(dict.fromkeys(findings), key=_order)
    return LintResult(tuple(found), plans, session is not None, unreadable, skipped)


def _order(finding: Finding) -> tuple[str, int, int]:
    place = finding.place or Place("")
    return place.file, place.line, place.column


def _read(paths: Sequence[Path]) -> tuple[list[PlanFile], list[Finding]]:
    sources: list[PlanFile] = []
    findings: list[Finding] = []
    for path in paths:
        try:
            sources += open_plans(path)
        except InvalidPlan as error:
            findings += error.findings
    return sources, findings


async def _registered(conn: Connection) -> list[str]:
    if await schema_state(conn) != "current":
        return []
    return [one.id for one in await changes.all_changes(conn) if one.state is not State.ROLLED_BACK]


async def _on_database(session: Session, conn: Connection, source: PlanFile) -> list[Finding]:
    try:
        compiled = await compile_source(conn, source)
    except Refused as refused:
        return list(refused.findings) or [_as_finding(refused)]
    typed = await type_expressions(conn, compiled, session.settings)
    if typed:
        return [*compiled.warnings, *typed]  # a probe with an expression that cannot be typed says the same once more
    return [*compiled.warnings, *await probe(conn, compiled, session.settings, proven=False)]


def _as_finding(error: OscError) -> Finding:
    return Finding(error.code, error.message, error.hint)
