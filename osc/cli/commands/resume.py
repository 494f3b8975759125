"""The command resume."""

from __future__ import annotations

from osc.cli.arguments import Reason
from osc.cli.commands.pause import All, SomeId, Table
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "operator", 3
EXAMPLES = ("osc resume 00042_users_verified_at", "osc resume --all")


@verb
def command(cli: Cli, change: SomeId = None, table: Table = None, everything: All = False, reason: Reason = "") -> None:
    """Lift a pause; it runs nothing itself, and says what to run where no executor is alive."""
    from osc.verbs.pause import Scope

    scope = Scope(change, table, everything)
    done = cli.run(lambda osc: osc.resume(scope, reason=reason))
    cli.show(done.as_json(), done.message)
