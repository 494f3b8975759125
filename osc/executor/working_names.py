"""The names under which index steps work: no other step, change or person has them."""

from __future__ import annotations

from osc.names import short_hash
from osc.program import DropIndexStep, IndexStep
from osc.state.changes import Change


def prefix(change: Change, step: IndexStep | DropIndexStep) -> str:
    """Return what every working name of the step begins with: made of change and definition, so nothing else matches."""
    definition = f"{step.unique} {step.on}" if isinstance(step, IndexStep) else step.name
    return f"osc_ix_{short_hash(change.id, str(change.number), step.id, definition)}_"


def building(prefix: str, epoch: int) -> str:
    """Return the name an epoch builds under."""
    return f"{prefix}e{epoch}"


def dead(prefix: str, oid: int, epoch: int) -> str:
    """Return the name under which an epoch drops what is of no use; no other epoch drops by that name."""
    return f"{prefix}{oid}_dead{epoch}"
