"""How a lane goes on behind a batch that could not be done: for how long it skips locked rows, or stays small. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from osc.settings import Settings

ROW_TRIES_MAX = 5
"""A row that alone takes longer than a batch may live so many times cannot be filled, and is named like one that raises."""
SMALL_AFTER_POISON = 4
"""So many batches stay small after a row that raised, before they grow again: such rows come in crowds."""


@dataclass
class Misses:
    """``skip`` windows more go with SKIP LOCKED before a plain one is tried, ``small`` more batches stay as small as they are.

    The windows that skip are doubled each time the plain one in between misses again, and halved behind each that does not.
    """

    settings: Settings
    skip: int = 0
    small: int = 0
    skip_next: int = field(init=False)
    _alone_too_slow: int = field(default=0, init=False)
    """How often in a row a batch of one row, which waits for nobody, ran out of time."""

    def __post_init__(self) -> None:
        self.skip_next = self.settings.skip_windows_first

    @property
    def is_plain(self) -> bool:
        """Whether the next batch neither skips nor has to stay small."""
        return not self.skip and not self.small

    def skip_more(self) -> None:
        """Skip what is locked in the next windows (I14, F40)."""
        self.skip = self.skip_next
        self.skip_next = min(self.skip_next * 2, self.settings.skip_windows_max)

    def stay_small(self) -> None:
        """Stay small for some batches: a row that raises is near."""
        self.small = max(self.small, SMALL_AFTER_POISON)

    def was_alone(self) -> bool:
        """Count a single row that waited for nobody and ran out of time; return whether it did so too often."""
        self._alone_too_slow += 1
        return self._alone_too_slow >= ROW_TRIES_MAX

    def moved(self) -> None:
        """Forget how slow a row was that is behind the checkpoint now."""
        self._alone_too_slow = 0

    def batch_done(self, *, skipping: bool) -> bool:
        """Count a batch down from those that skip or stay small; return whether its size may be judged: small ones teach nothing."""
        if skipping:
            self.skip -= 1
        elif self.skip_next > self.settings.skip_windows_first:
            self.skip_next = max(self.settings.skip_windows_first, self.skip_next // 2)
        if self.small > 0:
            self.small -= 1
            return False
        return True
