"""Whether others are at work on the server: then statements of the fill rest in between, and they hardly notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query
from osc.executor.throttle.waiters import LOOK_EVERY_S
from osc.pg.session import Connection

WEIGHT = 0.1
"""Of the newest look in the share of looks at which others were at work: the last two seconds decide."""
AT_WORK = 0.5
"""From this share on they are: a monitor that asks once a second is seen at every fifth look."""


@dataclass
class AtWork:
    """Looks at who has run something since the last look. It has no limit, and holds nothing back by itself.

    Sessions that this role may not see count as at work: what is not known must not be felt.
    """

    key: ClassVar[str] = "at_work"
    name: ClassVar[str] = "at_work"
    by_default: ClassVar[bool] = True
    share: float | None = None
    """Of the looks of late at which others were at work; None before the first."""

    @property
    def are(self) -> bool:
        """Whether others are at work."""
        return self.share is not None and self.share >= AT_WORK

    async def read(self, conn: Connection, limit: object, now_s: float) -> list[Reading]:
        """Look, and return a reading that holds nothing back."""
        ((seen, unseen),) = await query(conn, "at_work", {"within_s": LOOK_EVERY_S})
        now = 1.0 if seen or unseen else 0.0
        self.share = now if self.share is None else WEIGHT * now + (1 - WEIGHT) * self.share
        return [Reading(0.0, f"{seen} sessions of others are at work", 2 * LOOK_EVERY_S)]
