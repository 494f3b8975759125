"""The command lint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osc.cli.failing import finding_line
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "author", 2
EXAMPLES = ("osc lint plans/", "osc lint plans/00042_users_verified_at.yaml --offline")


@verb
def command(
    cli: Cli,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PLAN|DIR", help="Plans, or directories of plans.", show_default=False)
    ],
    offline: Annotated[bool, typer.Option("--offline", help="Leave the database alone.", show_default=False)] = False,
) -> None:
    """Say everything that stands against plans, each with file, line, column and remedy.

    With a database it also types every expression and looks for rows in the way; it only reads. Exits 0 when nothing
    says no (warnings do not), 2 for a file that is no valid plan, 3 where the plan or the data says no.
    """
    from osc.linter import as_lines

    if offline or not cli.has_database:
        import anyio

        from osc.verbs.lint import lint

        result = anyio.run(lint, None, paths)
    else:
        result = cli.run(lambda osc: osc.lint(paths))
    lines = [finding_line(finding) for finding in result.findings]
    lines += as_lines(result.findings, offline=not result.checked_against_database)[-1:]
    if result.registered:
        lines.append(f"registered here, so not compiled again: {', '.join(result.registered)}")
    cli.show(result.as_json(), "\n".join(lines))
    if result.exit_code:
        cli.exit(result.exit_code)
