"""The command ack."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import ChangeId, Reason
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 4
EXAMPLES = (
    "osc ack 00042_users_verified_at app-2.4",
    "osc ack 00042_users_verified_at app-2.4 --revoke --reason 'rolled back'",
)


@verb
def command(
    cli: Cli,
    change: ChangeId,
    gate: Annotated[
        str, typer.Argument(metavar="GATE", help="The name under require: in the plan.", show_default=False)
    ],
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Take it back; possible until the phase begins.", show_default=False)
    ] = False,
    reason: Reason = "",
) -> None:
    """Say that a gate is open: the new application is live, or somebody approves.

    Early words count and repeats do nothing. That the new application is live can be said once the fill is verified.
    """
    done = cli.run(lambda osc: osc.ack(change, gate, revoke=revoke, reason=reason))
    cli.show(done.as_json(), done.message)
