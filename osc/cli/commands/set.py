"""The command set."""

from __future__ import annotations

from typing import Annotated

import typer

from osc.cli.arguments import ChangeId, Reason, seconds
from osc.cli.surroundings import Cli, verb
from osc.errors import UsageError

FOR, ORDER = "operator", 4
EXAMPLES = (
    "osc set 00042_users_verified_at speed=25% --for 1h",
    "osc set 00042_users_verified_at batch_target=50ms",
    "osc set 00042_users_verified_at speed=          takes it back",
)


@verb
def command(
    cli: Cli,
    change: ChangeId,
    pair: Annotated[
        str,
        typer.Argument(
            metavar="KEY=VALUE",
            help="A pacing key of backfill: speed (share of time), batch_target, hours, or a limit such as "
            "max_replica_lag=2s, max_wal_rate=20MB/s, 'pause_when=[{file: /run/osc/stop}]'. "
            "none takes a limit away; nothing behind = takes your word back.",
            show_default=False,
        ),
    ],
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="For so long only (30m, 2h).", show_default=False)
    ] = None,
    reason: Reason = "",
) -> None:
    """Turn a pacing knob of a change while it runs, for a time or for good."""
    key, equals, value = pair.partition("=")
    if not equals:
        raise UsageError(f"{pair!r} is not KEY=VALUE", hint=f"osc set {change} speed=50%")
    ttl_s = seconds(lasting, "--for")
    done = cli.run(lambda osc: osc.set(change, key.strip(), value.strip() or None, ttl=ttl_s, reason=reason))
    cli.show(done.as_json(), done.message)
