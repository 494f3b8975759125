"""The command apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osc.cli.arguments import Detach, Timeout, To, optional_phase, seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 1
EXAMPLES = ("osc apply plans/00042_users_verified_at.yaml", "osc apply plans/ --to backfill --timeout 2h")


@verb
def command(
    cli: Cli,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN|DIR", help="A plan, or a directory of plans, taken in id order.", show_default=False
        ),
    ],
    to: To = None,
    detach: Detach = False,
    accept_drift: Annotated[
        bool,
        typer.Option(
            "--accept-drift",
            help="Compile the phases not yet begun for the tables as they are now; approvals lapse.",
            show_default=False,
        ),
    ] = False,
    timeout: Timeout = None,
) -> None:
    """Register a plan and advance it; without --to it stops after backfill, before anything the application notices.

    Repeating it goes on where it stopped. Finished changes of a directory are passed. An edited plan is refused.
    """
    phase, timeout_s = optional_phase(to), seconds(timeout, "--timeout")
    done = cli.run(lambda osc: osc.apply(path, phase, detach=detach, accept_drift=accept_drift, timeout=timeout_s))
    cli.show({"changes": [one.as_json() for one in done]}, "\n".join(one.message for one in done))
