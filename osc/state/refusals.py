"""The ways in which the state itself says no, each with a code of its own.

Kinds of the errors in osc.errors.
"""

from __future__ import annotations

from osc.errors import Conflict, Refused

LOOK = "nothing is guessed: look at schema osc with psql, or restore it from a backup; osc history tells what was done"
"""What is left to a person where the state itself is damaged."""


class ForeignSchema(Refused):
    """A schema `osc` is there and is not ours, or holds what others put into it. Nothing was changed."""

    code = "S101"


class NewerState(Conflict):
    """The state was written by a newer osc than this one. Nothing was changed."""

    code = "S102"


class CopiedDatabase(Conflict):
    """The state was made for another database: this one is a copy, or was restored or upgraded.

    Nothing was changed.
    """

    code = "S103"


class OlderState(Conflict):
    """The state is older than what this run has seen of it: a failover or a restore lost what came since."""

    code = "S104"


def older_state(change_id: str, epoch: int, known: int) -> OlderState:
    """Return the refusal to go on by itself where a server came back with less than this run had written."""
    return OlderState(
        f"the state of {change_id} is older than this run: epoch {epoch} after {known}; a failover or a restore lost what"
        " was done since, in the tables as well, and nothing was changed here",
        hint=f"make sure that this server is the one to go on with; then osc advance {change_id} goes on from what it has",
        facts={"epoch": epoch, "known": known},
    )


class DamagedState(Conflict):
    """Rows or tables of the state are missing or were edited by hand. Nothing was changed."""

    code = "S105"


class PlanEdited(Conflict):
    """A change with this id is registered with other operations. Nothing was changed."""

    code = "S201"
