"""Verification passes and their verdicts. How fresh a verdict is counts from the beginning of its pass."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from osc.errors import Conflict
from osc.failpoints import failpoint
from osc.state import changes
from osc.state.queries import Queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

_queries = Queries("verifications.sql")


@dataclass(frozen=True, slots=True)
class Verification:
    """A finished pass over a table: rows looked at, rows not in step, and keys of some of those."""

    verification: int
    change: int
    step: str
    started_at: datetime
    finished_at: datetime
    rows: int
    mismatches: int
    sample: list[list[str]]
    started_s_ago: float
    """What freshness is judged by: a row seen early may have changed since the pass began."""
    guarded: bool = True
    """Whether the sync triggers have stood since the pass began: where one was off, the verdict proves nothing."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds (exclusive, inclusive), how many rows were looked at (None as long as it was not seen to be clean), and leaf."""

    lo: list[str] | None
    hi: list[str] | None
    rows: int | None = None
    leaf: int | None = None
    """The partition it is of, by its oid; None where the table has none."""


async def unfinished(
    conn: AsyncConnection[Any], change: int, step: str, digest: str, *, fresh_s: float
) -> tuple[int, list[Range]] | None:
    """Return number and ranges of a pass that was broken off less than `fresh_s` after its begin; only reads.

    None where there is none, where it asked another thing (`digest`), or a sync trigger was off meanwhile.
    """
    row = await _queries.one(conn, "unfinished", change=change, step=step, digest=digest, fresh_s=float(fresh_s))
    return None if row is None else (row["verification"], [Range(*one) for one in row["ranges"]])


async def note_range(conn: AsyncConnection[Any], verification: int, n: int, rows: int) -> None:
    """Note that all `rows` of the pass's range number `n` are in step."""
    await _queries.one(conn, "note_range", verification=verification, n=n, rows=rows)


async def add_ranges(conn: AsyncConnection[Any], verification: int, ranges: Sequence[Range]) -> None:
    """Put further ranges behind those of a pass: of a partition that came meanwhile."""
    await _queries.one(conn, "add_ranges", verification=verification, ranges=_listed(ranges))


def _listed(ranges: Sequence[Range]) -> Jsonb:
    return Jsonb([list(astuple(one)) for one in ranges])


async def begin(
    conn: AsyncConnection[Any], change: int, step: str, epoch: int, *, ranges: Sequence[Range] = (), digest: str = ""
) -> int:
    """Record that a pass begins and return its number; raise LeaseLost if `epoch` does not lead."""
    await failpoint("verdict.before")
    number: int | None = await _queries.value(
        conn, "begin", change=change, step=step, epoch=epoch, ranges=_listed(ranges), digest=digest
    )
    await failpoint("verdict.after")
    if number is None:
        await changes.refuse(conn, change, epoch, f"verify {step}")
    assert number is not None
    return number


async def finish(
    conn: AsyncConnection[Any],
    verification: int,
    *,
    rows: int,
    mismatches: int,
    sample: Sequence[Sequence[str]] = (),
) -> None:
    """Record the verdict of a pass, once; raise Conflict if it has one or its pass no longer counts."""
    row = await _queries.one(
        conn, "finish", verification=verification, rows=rows, mismatches=mismatches,
        sample=Jsonb([list(key) for key in sample]),
    )  # fmt: skip
    if row is None:
        raise Conflict(f"verification {verification} is over already; nothing was changed", hint="verify again")


async def latest(conn: AsyncConnection[Any], change: int) -> dict[str, Verification]:
    """Return the newest finished pass of each step of a change; only reads."""
    return {one.step: one for one in await latest_of(conn, [change])}


async def latest_of(conn: AsyncConnection[Any], numbers: Sequence[int]) -> list[Verification]:
    """Return the newest finished pass of each step, of several changes; only reads."""
    return [Verification(**row) for row in await _queries.all(conn, "latest", changes=list(numbers))]


async def outdate(conn: AsyncConnection[Any], change: int, step: str) -> None:
    """Forget the passes of a step, running ones too: none of them vouches for what is there now."""
    await _queries.run(conn, "outdate", change=change, step=step)
