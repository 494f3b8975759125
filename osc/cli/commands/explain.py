"""The command explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from osc.cli.failing import finding_line
from osc.cli.streams import say
from osc.cli.surroundings import Cli, verb
from osc.errors import UsageError

FOR, ORDER = "author", 3
EXAMPLES = (
    "osc explain plans/00042_users_verified_at.yaml",
    "osc explain plans/00042_users_verified_at.yaml --markdown > comment.md",
    "osc explain plans/00042_users_verified_at.yaml --sql | less",
)


@verb
def command(
    cli: Cli,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's file.", show_default=False)],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="For a comment on a pull request.", show_default=False)
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="A script with comments that psql can read.", show_default=False)
    ] = False,
) -> None:
    """Show what a plan would do here: every step with its SQL, its lock and whom that blocks, how long, and its undo.

    It only reads. --json prints the program itself; --verbose leaves nothing of the SQL out.
    """
    if markdown + sql + cli.json > 1:
        raise UsageError("--markdown, --sql and --json exclude each other")
    found = cli.run(lambda osc: osc.explain(plan))
    for finding in found.warnings if markdown or sql else ():
        say(sys.stderr, finding_line(finding) + "\n")
    text = found.as_markdown() if markdown else found.as_script() if sql else found.as_text(whole=cli.verbose)
    cli.show(found.as_json(), text)
