"""explain: what a plan would do to this database, step by step. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osc.compiler.explain import as_markdown, as_script, as_text
from osc.errors import Finding, Place, Severity
from osc.plan import PlanFile, open_plan
from osc.state import changes
from osc.state.schema import schema_state
from osc.state.transitions import State
from osc.verbs.compiling import compile_source

if TYPE_CHECKING:
    from pathlib import Path

    from osc.pg.session import Connection
    from osc.program import Program
    from osc.state.changes import Change
    from osc.verbs.session import Session


@dataclass(frozen=True, slots=True)
class Explanation:
    """A Program with the warnings found on the way."""

    program: Program
    warnings: tuple[Finding, ...]
    registered: str = ""
    """The state of the change, where the plan is registered and this is the program it was registered with."""

    def as_json(self) -> dict[str, Any]:
        """Return the program as JSON, with the warnings beside it."""
        warnings = [finding.as_json() for finding in self.warnings]
        return {"program": self.program.model_dump(mode="json"), "warnings": warnings, "registered": self.registered}

    def as_text(self, *, whole: bool = False) -> str:
        """Return it for a terminal; ``whole`` leaves nothing of the SQL out."""
        note = f"registered here, now {self.registered}: this is the program it runs\n\n" if self.registered else ""
        return note + as_text(self.program, self.warnings, whole=whole)

    def as_markdown(self) -> str:
        """Return it for a comment on a pull request."""
        return as_markdown(self.program, self.warnings)

    def as_script(self) -> str:
        """Return it as a script that psql can read."""
        return as_script(self.program)


async def explain(session: Session, path: Path) -> Explanation:
    """Return the program that the plan at ``path`` compiles to here, or, once it is registered, the one that runs.

    Raises InvalidPlan, or Refused with every finding where it cannot be run on these tables.
    """
    source = open_plan(path)
    async with session.connection(f"{source.plan.id}:explain", read_only=True) as conn:
        change = await _registered(conn, source)
        if change is not None and change.plan_hash == source.plan.hash():
            return Explanation(change.program(), (), str(change.state))
        compiled = await compile_source(conn, source)
        edited = (_edited(change, source),) if change is not None else ()
        return Explanation(compiled.program, (*compiled.warnings, *edited))


async def _registered(conn: Connection, source: PlanFile) -> Change | None:
    if await schema_state(conn) != "current":
        return None
    change = await changes.find(conn, source.plan.id)
    return None if change is None or change.state is State.ROLLED_BACK else change


def _edited(change: Change, source: PlanFile) -> Finding:
    message = f"{change.id} is registered with other operations and is {change.state}: apply will refuse this plan"
    hint = "put the operations back, or roll the change back first"
    return Finding("S201", message, hint, Severity.WARNING, place=Place(source.file))
