"""The command history."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from osc.cli.streams import say
from osc.cli.surroundings import Cli, verb
from osc.errors import Conflict, printable
from osc.redaction import plainly

if TYPE_CHECKING:
    from osc.verbs.history import Entry

FOR, ORDER = "operator", 6
EXAMPLES = ("osc history 00042_users_verified_at", "osc history --json > audit.json")


@verb
def command(
    cli: Cli,
    change: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="One plan, all its attempts; without it, everything.", show_default=False),
    ] = None,
) -> None:
    """Show what happened, when, by whom and why, and prove that nobody has rewritten it.

    Exits 5 where the hash chain is broken.
    """
    found = cli.run(lambda osc: osc.history(change))
    cli.show(found.as_json(), "\n".join([*(_line(entry) for entry in found.entries), found.verdict]))
    if not found.whole:
        say(sys.stderr, f"OSC-S105 {found.verdict}; keep a copy of osc.event and find out who wrote to it\n")
        cli.exit(Conflict.exit_code)


def _line(entry: Entry) -> str:
    event = entry.event
    attempt = f" attempt {entry.attempt}" if entry.attempt > 1 else ""
    told = plainly(event.data)
    data = {name: value for name, value in told.items() if value not in ("", None) and not name.endswith("hash")}
    text = json.dumps(data, ensure_ascii=False, default=str) if data else ""
    return printable(
        f"{event.at:%Y-%m-%d %H:%M:%S} {entry.change_id}{attempt} {event.kind} by {event.who} {text}".rstrip()
    )
