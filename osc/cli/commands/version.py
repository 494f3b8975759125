"""The command version."""

from __future__ import annotations

import platform
import sys

from osc import __version__
from osc.cli.surroundings import Cli, verb

FOR, ORDER = "operator", 9
EXAMPLES = ("osc version --json",)


@verb
def command(cli: Cli) -> None:
    """Print the versions of osc and Python."""
    found = {"osc": __version__, "python": platform.python_version(), "platform": sys.platform}
    cli.show(found, f"osc {__version__} (Python {found['python']})")
