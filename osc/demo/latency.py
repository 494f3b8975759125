"""Latencies as pgbench logs them, a line per transaction, and their percentiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """A transaction that committed: when it ended (seconds of the epoch) and how long it took.

    With a fixed rate pgbench counts from the moment the transaction was due, so a stall also shows in all those that
    had to wait for it.
    """

    at: float
    ms: float


class LogTail:
    """Reads a growing transaction log; pgbench writes it in pieces of 4 kB, so the last second may be missing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Sample]:
        """Return the transactions logged since the last call; a line not yet whole waits for the next one."""
        try:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                text = log.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return list(parse(whole.decode("ascii").splitlines()))


def parse(lines: Iterable[str]) -> Iterable[Sample]:
    """Yield the samples of ``client transaction time script epoch_s us [lag]`` lines.

    A failed transaction has a word in place of its time; those are counted from pgbench's summary.
    """
    for line in lines:
        _, _, took_us, _, epoch_s, epoch_us, *_ = line.split()
        if took_us.isdigit():
            yield Sample(int(epoch_s) + int(epoch_us) / 1e6, int(took_us) / 1000)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least value that ``share`` of all values do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def within(samples: Iterable[Sample], since: float, until: float) -> list[float]:
    """Return the latencies of what ended between two moments of the epoch."""
    return [sample.ms for sample in samples if since <= sample.at < until]
