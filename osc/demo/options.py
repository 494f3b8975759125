"""What the demo may be asked for, and the numbers it runs by."""

from __future__ import annotations

from dataclasses import dataclass

from osc.errors import UsageError

ROWS_PER_SCALE = 100_000
"""Accounts that pgbench makes for one unit of its scale."""

ROWS_MIN = 1_000


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One run. Rates are transactions a second; the old application's is fixed, so that latencies can be compared."""

    rows: int = 1_000_000
    seconds: float = 30.0
    """How long the traffic goes on at least. It never cuts the change short, which may take longer."""
    keep: bool = False
    old_rate: int = 250
    new_rate: int = 100

    def __post_init__(self) -> None:
        if self.rows < ROWS_MIN:
            raise UsageError(f"--rows {self.rows} is too few; nothing was started", hint=f"{ROWS_MIN} or more")
        if self.seconds <= 0:
            raise UsageError("--seconds must be more than 0; nothing was started", hint="10 is a short run")

    @property
    def scale(self) -> int:
        """Pgbench's scale: enough accounts for ``rows``; what is too many is deleted."""
        return -(-self.rows // ROWS_PER_SCALE)

    @property
    def old_rows(self) -> int:
        """Accounts 1 to here are the old application's; the rest belongs to the new one until the fill is verified."""
        return self.rows - self.rows // 100

    @property
    def before_s(self) -> float:
        """How long the old application runs alone, to have something to compare with."""
        return min(6.0, self.seconds / 6)

    @property
    def limit_s(self) -> float:
        """When the demo gives up: a machine this slow shows nothing."""
        return max(900.0, 10 * self.seconds)

    @property
    def after_switch_s(self) -> float:
        """How long both applications run behind switch at least, before the old one is retired."""
        return min(2.0, self.seconds / 20)

    @property
    def after_contract_s(self) -> float:
        """How long the new application runs without the old column."""
        return min(1.0, self.seconds / 40)
