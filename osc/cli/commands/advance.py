"""The command advance."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import ChangeId, Detach, Timeout, To, optional_phase, seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 2
EXAMPLES = (
    "osc advance 00042_users_verified_at --to switch",
    "osc advance 00042_users_verified_at --to contract --if-ready",
)


@verb
def command(
    cli: Cli,
    change: ChangeId,
    to: To = None,
    if_ready: Annotated[
        bool,
        typer.Option(
            "--if-ready", help="Exit 0 when it is not yet time or a gate is closed; for schedules.", show_default=False
        ),
    ] = False,
    detach: Detach = False,
    timeout: Timeout = None,
) -> None:
    """Bring a change to a phase, by default the one last asked for; so it also goes on with a run that crashed.

    If another executor leads the change, this follows it and returns as if it were its own. Paused or locked out, it
    stays and waits; it leaves at --timeout.
    """
    phase, timeout_s = optional_phase(to), seconds(timeout, "--timeout")
    done = cli.run(lambda osc: osc.advance(change, phase, if_ready=if_ready, detach=detach, timeout=timeout_s))
    cli.show(done.as_json(), done.message)
