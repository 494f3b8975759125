"""What a sample saw while a switch was postponed, as it is kept in the journal: in the result of the step that waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from osc.state.journal import StepRow

_NAME = "sampled"


@dataclass(frozen=True, slots=True)
class Seen:
    """Rows of a table that were looked at, for the verification ``step``, and how many of them are out of step."""

    step: str
    table: str
    rows: int
    mismatches: int

    def __str__(self) -> str:
        return f"{self.mismatches} of {self.rows} rows of {self.table} that were sampled are out of step"


def kept(at: datetime, seen: Iterable[Seen]) -> dict[str, Any]:
    """Return what is added to the result of the step that waits."""
    return {_NAME: {"at": at.isoformat(), "seen": [asdict(one) for one in seen]}}


def last(rows: Iterable[StepRow]) -> tuple[datetime, tuple[Seen, ...]] | None:
    """Return when the last sample was taken, by the database's clock, and what it saw; ``None`` if there was none."""
    noted = [row.result[_NAME] for row in rows if row.result and _NAME in row.result]
    found = [(datetime.fromisoformat(one["at"]), tuple(Seen(**seen) for seen in one["seen"])) for one in noted]
    return max(found, key=lambda one: one[0], default=None)
