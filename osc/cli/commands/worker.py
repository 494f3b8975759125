"""The command worker."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "operator", 7
EXAMPLES = ("osc worker", "osc worker --once")


@verb
def command(
    cli: Cli,
    once: Annotated[
        bool, typer.Option("--once", help="Look once at every change, then end.", show_default=False)
    ] = False,
    poll: Annotated[
        str | None,
        typer.Option(
            "--poll", metavar="DURATION", help="Between two looks at what is to be done (10s).", show_default=False
        ),
    ] = None,
) -> None:
    """Bring every change to where it was asked to go: what --detach leaves its wishes to.

    Several workers may run; each change has one leader. SIGTERM ends it in order; the checkpoint is kept.
    """
    poll_s = seconds(poll, "--poll")
    cli.run(lambda osc: osc.worker(once=once, poll_s=poll_s))
    cli.show({"ended": True}, "")
