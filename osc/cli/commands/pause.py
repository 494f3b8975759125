"""The command pause."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import Reason
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "operator", 2
EXAMPLES = ("osc pause 00042_users_verified_at --reason 'incident 77'", "osc pause --table users", "osc pause --all")

SomeId = Annotated[str | None, typer.Argument(metavar="ID", help="One change.", show_default=False)]
Table = Annotated[
    str | None, typer.Option("--table", metavar="TABLE", help="Every change of this table.", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="Every change in this database.", show_default=False)]


@verb
def command(cli: Cli, change: SomeId = None, table: Table = None, everything: All = False, reason: Reason = "") -> None:
    """Let osc write nothing more, for a change, a table or everything; committed when the command returns.

    A batch at work ends within half a second, an index build goes on to its end. Everything is kept; resume goes on.
    """
    from osc.verbs.pause import Scope

    scope = Scope(change, table, everything)
    done = cli.run(lambda osc: osc.pause(scope, reason=reason))
    cli.show(done.as_json(), done.message)
