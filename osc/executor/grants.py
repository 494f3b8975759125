"""Whether whoever writes to the tables may still do what the plan's expressions do as that role; looked at as a phase begins.

Registering has looked already (C261). A grant can be taken away in the middle of a change, and a role be let write that
could not before: its writes fail, or leave rows that are out of step.
"""

from __future__ import annotations

from osc.errors import Finding, Refused
from osc.executor.lead import Lead
from osc.pg.writers import lacking
from osc.program import Phase


async def refuse_missing(lead: Lead, phase: Phase) -> None:
    """Raise Refused with every grant that is missing before ``phase`` begins; contract takes away what needs them."""
    if phase is Phase.CONTRACT:
        return
    findings = []
    for need in lead.program.writers:
        missing = await lacking(
            lead.observer, need.tables, need.functions, need.schemas, deadline_s=lead.settings.query_deadline_s
        )
        findings += [
            Finding(
                "C261",
                f"{need.expression}: is computed as whoever writes to the table, and without {grant} the writes of {who} fail",
                f"GRANT {grant} TO {who}",
            )
            for grant, who in missing
        ]
    if findings:
        raise Refused(
            f"{phase} of {lead.change.id} does not begin while roles that write lack what the plan needs: "
            f"{'; '.join(one.hint for one in findings)}; nothing was changed",
            hint=f"grant it, then osc advance {lead.change.id} --to {phase}",
            findings=findings,
        )
