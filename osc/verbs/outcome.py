"""What a verb that moves a change answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from osc.state.changes import Change
from osc.state.transitions import phase_completed


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the change is now, and a sentence that says so."""

    change_id: str
    state: str
    phase: str
    """The last phase that is complete; empty before expand."""
    message: str

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"change": self.change_id, "state": self.state, "phase": self.phase, "message": self.message}


def outcome_of(change: Change, message: str) -> Outcome:
    """Return the outcome for ``change``."""
    completed = phase_completed(change.state)
    return Outcome(change.id, str(change.state), str(completed) if completed else "", message)
