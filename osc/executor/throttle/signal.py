"""The one interface of whatever may hold a fill back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from osc.pg.session import Connection, run
from osc.sql.named import load

DEADLINE_S = 10.0
"""A signal that takes longer is unknown."""
GRANT = "GRANT pg_monitor TO the role of osc"
OFF = "none"
"""What stands for a limit that was taken away."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal says now. From a ``utilisation`` of 1.0 on the fill rests; what cannot be told is 1.0 as well."""

    utilisation: float
    reason: str
    """For people, with value and limit: ``replica lag 3.1 s > 2 s (standby-1)``."""
    stale_after_s: float = 1.0
    """So long it stands; then nothing goes on before it was read again."""
    known: bool = True
    """``False`` where it could not be seen at all. Whoever wrote a limit relies on it and is stopped; the engine's own
    limit is left out then, which is said once."""


def unknown(reason: str, stale_after_s: float = 1.0) -> Reading:
    """Return the reading of what cannot be seen."""
    return Reading(1.0, reason, stale_after_s, known=False)


def hidden(what: str, name: str) -> Reading:
    """Return the reading of what only a role with more rights may see."""
    return unknown(f"{what} is unknown: {GRANT}, or set {name} to {OFF}", 5.0)


class Signal(Protocol):
    """A signal of one kind; ``key`` is the setting that holds its limit, in the form in which pacing is stored."""

    key: ClassVar[str]
    name: ClassVar[str]
    """Of the setting, as people write it."""
    by_default: ClassVar[bool]
    """Whether it is watched, with a limit of its own, where none is written: ``read`` gets ``None`` then."""

    async def read(self, conn: Connection, limit: Any, now_s: float) -> list[Reading]:
        """Return what is seen at ``now_s`` (a monotonic clock's), worst or not; raises psycopg.Error."""
        ...


async def query(conn: Connection, name: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Return the rows of a statement of ``throttle.sql``."""
    cursor = await run(conn, load("throttle")[name], params or {}, deadline_s=DEADLINE_S)
    return await cursor.fetchall()


def size(n_bytes: float) -> str:
    """Return bytes as people write them: 3 GB, 120 MB, 7 kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes / 1e3:.3g} kB"


def seconds(n_seconds: float) -> str:
    """Return a length of time as people write it: 0.05 s, 3.1 s, 12 min, 5 h."""
    for unit, name in ((3_600 * 3, "h"), (180, "min")):
        if n_seconds >= unit:
            return f"{n_seconds / (3_600 if name == 'h' else 60):.3g} {name}"
    return f"{n_seconds:.2g} s" if n_seconds < 1 else f"{n_seconds:.1f} s"
