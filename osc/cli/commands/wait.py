"""The command wait."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import PHASES, ChangeId, Timeout, phase_of, seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 3
EXAMPLES = ("osc wait 00042_users_verified_at backfill --timeout 2h",)


@verb
def command(
    cli: Cli,
    change: ChangeId,
    phase: Annotated[str, typer.Argument(metavar="PHASE", help=f"{PHASES.capitalize()}.", show_default=False)],
    timeout: Timeout = None,
) -> None:
    """Return when a phase is complete, and at once when waiting cannot help.

    It runs nothing and locks nothing. Exits with the change's own problem where it stopped, 4 where a person must open
    a gate, 5 where it is on its way back, 75 at --timeout.
    """
    wanted, timeout_s = phase_of(phase), seconds(timeout, "--timeout")
    done = cli.run(lambda osc: osc.wait(change, wanted, timeout_s))
    cli.show(done.as_json(), done.message)
