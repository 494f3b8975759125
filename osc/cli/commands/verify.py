"""The command verify."""

from __future__ import annotations

from osc.cli.arguments import ChangeId, Timeout, seconds
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "pipeline", 6
EXAMPLES = ("osc verify 00042_users_verified_at",)


@verb
def command(cli: Cli, change: ChangeId, timeout: Timeout = None) -> None:
    """Look at every row now and say whether old and new columns are in step; without locks.

    Exits 3, with keys, where rows are out of step.
    """
    timeout_s = seconds(timeout, "--timeout")
    done = cli.run(lambda osc: osc.verify(change, timeout=timeout_s))
    cli.show(done.as_json(), done.message)
