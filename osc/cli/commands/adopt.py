"""The command adopt."""

from __future__ import annotations

from osc.cli.arguments import Reason
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "operator", 8
EXAMPLES = ("osc adopt --reason 'production was restored here from the dump of Monday'",)


@verb
def command(cli: Cli, reason: Reason = "") -> None:
    """Let the changes in a copied or restored database go on here.

    A copy never goes on by itself, because its original may. Say this only where the original is gone, or was told to
    stop: two of them would each change the same application. Nothing is begun; osc advance or osc rollback does that.
    """
    done = cli.run(lambda osc: osc.adopt(reason=reason))
    cli.show(done.as_json(), done.message)
