"""What the demo found out, as one value: the promises are zeros, and anything else is told and makes it fail."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """The numbers of one run; the latencies are the old application's, scheduling lag included."""

    rows: int
    transactions: int
    failed_transactions: int
    lost_increments: int
    """Recorded increments of the accounts whose balance is not what the records say."""
    longest_wait_ms: float
    """The longest stay of a session that is not osc's behind one that is; never less than the truth."""
    p50_ms_before: float
    p99_ms_before: float
    p50_ms_during: float
    p99_ms_during: float
    backfill_rows_per_s: float
    mismatches: int
    """Rows whose old and new column disagreed just before contract, counted by the demo itself and by osc."""
    phases: dict[str, float]
    """Seconds of each phase."""
    seconds: float
    """From start to report, the server's own start included."""
    errors: tuple[str, ...] = field(default=(), metadata={"told": False})
    """What the applications were told when a transaction failed; the first few."""
    longest_wait: str = field(default="", metadata={"told": False})
    """Who waited, and for which session of osc."""
    watch_gap_ms: float = field(default=0.0, metadata={"told": False})
    """The longest pause between two looks at the waiting sessions: what waits shorter could be missed."""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.broken

    @property
    def broken(self) -> tuple[str, ...]:
        """The promises that were not kept, in words."""
        promises = (
            (self.failed_transactions, "transactions of the applications failed"),
            (self.lost_increments, "increments were lost"),
            (self.mismatches, "rows of the old and the new column disagree"),
        )
        return tuple(f"{count} {what}" for count, what in promises if count)

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        told = (one.name for one in fields(self) if one.metadata.get("told", True))
        return {name: getattr(self, name) for name in told}
