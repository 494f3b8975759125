"""The command resolve."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import ChangeId, Reason
from osc.cli.surroundings import Cli, verb
from osc.errors import UsageError

FOR, ORDER = "operator", 5
EXAMPLES = (
    "osc resolve 00042_users_verified_at backfill.03.index.users_idx --did-not --reason 'no such index in \\d users'",
)


@verb
def command(
    cli: Cli,
    change: ChangeId,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="The step that status calls ambiguous.", show_default=False)
    ],
    happened: Annotated[
        bool, typer.Option("--happened", help="It happened; go on behind it.", show_default=False)
    ] = False,
    did_not: Annotated[bool, typer.Option("--did-not", help="It did not; do it again.", show_default=False)] = False,
    reason: Reason = "",
) -> None:
    """Say whether an ambiguous step happened, after looking; only then does the change go on.

    A wrong answer makes osc skip what is missing or repeat what is there, so the reason is kept in the history.
    """
    if happened == did_not:
        raise UsageError("say one of --happened and --did-not", hint="look at the table with psql first")
    done = cli.run(lambda osc: osc.resolve(change, step, happened=happened, reason=reason))
    cli.show(done.as_json(), done.message)
