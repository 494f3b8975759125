"""The command demo."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from osc.cli.surroundings import Cli, verb
from osc.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from osc.demo import DemoOptions, DemoReport
    from osc.demo.bank import Bank

FOR, ORDER = "author", 9
EXAMPLES = ("osc demo", "osc demo --rows 100000 --seconds 10", "osc demo --keep")


@verb
def command(
    cli: Cli,
    rows: Annotated[int, typer.Option("--rows", metavar="N", help="How many accounts the table has.")] = 1_000_000,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="N", help="How long the applications write, at least; the change is never cut short."
        ),
    ] = 30.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the server until Ctrl-C, to look around in it.", show_default=False)
    ] = False,
) -> None:
    """Take a busy table of a throw-away PostgreSQL through all five phases, and count what went wrong.

    pgbench writes at a fixed rate all the time, in an old and a new version of the application. Exits 1 if a
    transaction failed, an increment was lost or a row is not in step. Ctrl-C leaves nothing behind.
    """
    from osc.demo import DemoOptions

    if cli.database_url:
        raise UsageError("the demo starts a server of its own and takes no --database-url; nothing was started")
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # PGSSLMODE and the like are meant for other servers than the demo's own
    report = _run(cli, DemoOptions(rows=rows, seconds=seconds, keep=keep))
    if not report.ok:
        cli.exit(1)


def _run(cli: Cli, options: DemoOptions) -> DemoReport:
    import anyio

    from osc.cli.running import governed
    from osc.demo import run_demo
    from osc.demo.audience import audience
    from osc.demo.closing import as_text

    shown: list[DemoReport] = []

    async def show(report: DemoReport, bank: Bank) -> None:
        watching.close()
        shown.append(report)
        kept = bank if options.keep else None
        cli.show(report.as_json(), as_text(report, kept))
        if kept:
            if cli.json:
                sys.stderr.write(as_text(report, kept) + "\n")
            await anyio.sleep_forever()

    with audience(sys.stderr, color=not cli.no_color) as watching:
        try:
            return governed(lambda: run_demo(options, watching, show))
        except Interrupted as stopped:
            if shown:
                return shown[0]
            stopped.message, stopped.hint = "interrupted; the demo and all it made are gone", ""
            raise
