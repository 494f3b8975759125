"""openSUSE Commander has the same module and command; sharing an environment, one overwrites files of the other."""

from __future__ import annotations

from importlib import metadata

from osc.errors import UsageError

OTHER = "osc"
"""The distribution of openSUSE Commander; ours is osc-postgres."""


def refuse_other_osc() -> None:
    """Raise UsageError if openSUSE Commander is installed in this environment."""
    try:
        other = metadata.distribution(OTHER)
    except metadata.PackageNotFoundError:
        return
    raise UsageError(
        f"this Python environment also holds {other.metadata['Name']} {other.version}, the openSUSE Commander, "
        "which has the same module and command, so neither can be trusted here; nothing was done",
        hint="give osc-postgres an environment of its own: pipx install osc-postgres",
    )
