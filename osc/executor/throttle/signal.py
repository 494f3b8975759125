"""The one interface of whatever may hold a fill back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from osc.pg.session import Connection, run
from osc.sql.named import load

DEADLINE_S = 10.0
"""A signal that takes longer is unknown."""
GRANT = "GRANT pg_monitor TO the role of osc"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal says now. From a ``utilisation`` of 1.0 on the fill rests; what cannot be told is 1.0 as well."""

    utilisation: float
    reason: str
    """For people, with value and limit: ``replica lag 3.1 s > 2 s (standby-1)``."""


class Signal(Protocol):
    """A signal of one kind; ``key`` is the setting that holds its limit, in the form in which pacing is stored."""

    key: str

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return what is seen at ``now_s`` (a monotonic clock's), worst or not; raises psycopg.Error."""
        ...


async def query(conn: Connection, name: str) -> list[tuple[Any, ...]]:
    """Return the rows of a statement of ``throttle.sql``."""
    cursor = await run(conn, load("throttle")[name], {}, deadline_s=DEADLINE_S)
    return await cursor.fetchall()


def size(n_bytes: float) -> str:
    """Return bytes as people write them: 3 GB, 120 MB, 7 kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes / 1e3:.3g} kB"
