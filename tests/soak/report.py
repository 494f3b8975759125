"""What a soak did and what it checked, counted as it goes."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Report:
    """Counts of what was done, and every promise that did not hold."""

    seed: int
    minutes: float
    changes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    transactions: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    longest_wait_ms: float = 0.0
    longest_wait: str = ""
    peak_rss_mb: float = 0.0
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def broken(self, what: str) -> None:
        """Note a promise that did not hold."""
        with self._lock:
            self.violations.append(what)

    def checked(self, what: str, wrong: list[str]) -> None:
        """Count a check and note what it found."""
        self.checks[what] += 1
        for line in wrong:
            self.broken(f"{what}: {line}")

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in named.items()}

    def lines(self) -> list[str]:
        """Return the report for people."""
        told = [f"seed {self.seed}, {self.minutes:g} minutes"]
        for name in ("changes", "faults", "transactions", "commands", "checks"):
            counts: Counter[str] = getattr(self, name)
            told.append(
                f"{name:<13} {sum(counts.values()):>7}   " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items()))
            )
        told.append(f"longest wait  {self.longest_wait_ms:>7.0f} ms behind osc {self.longest_wait}")
        told.append(f"peak memory   {self.peak_rss_mb:>7.0f} MB of an osc process")
        told += [f"BROKEN        {line}" for line in self.violations]
        return [*told, "nothing broke" if not self.violations else f"{len(self.violations)} promises broken"]
