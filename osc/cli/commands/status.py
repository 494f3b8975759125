"""The command status."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.standings import overview_text
from osc.cli.surroundings import Cli, verb
from osc.cli.watching import watch as show_looks
from osc.errors import Interrupted, UsageError

FOR, ORDER = "operator", 1
EXAMPLES = ("osc status", "osc status 00042_users_verified_at --watch")


@verb
def command(
    cli: Cli,
    change: Annotated[
        str | None, typer.Argument(metavar="ID", help="One change, with everything known of it.", show_default=False)
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every second until interrupted.", show_default=False)
    ] = False,
) -> None:
    """Show where the open changes stand, worst first, each with the one command to type next and the way back.

    It takes no lock and changes nothing.
    """
    if watch and cli.json:
        raise UsageError("--watch never ends, so it has no one document", hint="call osc status --json again and again")
    whole = change is not None
    if watch:
        try:
            cli.run(lambda osc: show_looks(osc.watch(change), whole=whole, color=cli.color), quiet=True)
        except Interrupted as left:  # the usual way to leave; nothing was stopped by it
            cli.exit(left.exit_code)
    overview = cli.run(lambda osc: osc.status(change))
    cli.show(overview.as_json(), overview_text(overview, whole=whole, color=cli.color))
