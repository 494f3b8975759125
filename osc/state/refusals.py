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


class DamagedState(Conflict):
    """Rows or tables of the state are missing or were edited by hand. Nothing was changed."""

    code = "S105"


class PlanEdited(Conflict):
    """A change with this id is registered with other operations. Nothing was changed."""

    code = "S201"
