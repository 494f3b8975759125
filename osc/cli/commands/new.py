"""The command new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osc.cli.surroundings import Cli, verb

FOR, ORDER = "author", 1
EXAMPLES = (
    "osc new change_column 00042_users_verified_at --table users",
    "osc new create_index 00043_orders_idx --table shop.orders",
)


@verb
def command(
    cli: Cli,
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="The operation: change_column, create_index, …", show_default=False)
    ],
    plan_id: Annotated[
        str, typer.Argument(metavar="ID", help="Five digits and a name: 00042_users_verified_at.", show_default=False)
    ],
    table: Annotated[
        str | None, typer.Option("--table", metavar="TABLE", help="The table: users or shop.users.", show_default=False)
    ] = None,
    directory: Annotated[Path, typer.Option("--directory", metavar="DIR", help="Where plans are kept.")] = Path(
        "plans"
    ),
) -> None:
    """Write a starter plan, and the schema beside it that editors check plans by.

    Nothing that is there is overwritten. No database is needed.
    """
    from osc.verbs.new import new

    written = new(kind, plan_id, table=table, directory=directory)
    cli.show(written.as_json(), written.message)
