"""The command rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import ChangeId, Timeout, optional_phase, seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 5
EXAMPLES = ("osc rollback 00042_users_verified_at --to backfill", "osc rollback 00042_users_verified_at")


@verb
def command(
    cli: Cli,
    change: ChangeId,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="PHASE",
            help="Undo everything behind this phase; without it, everything.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = None,
) -> None:
    """Take a change back, to a phase or altogether; possible until contract drops something.

    Taken back altogether, the schema is as it was, and the plan's id is free for another attempt.
    """
    phase, timeout_s = optional_phase(to), seconds(timeout, "--timeout")
    done = cli.run(lambda osc: osc.rollback(change, phase, timeout=timeout_s))
    cli.show(done.as_json(), done.message)
