"""Slices: pieces of a table that lanes walk, with what was skipped and what could not be filled.

A batch (osc.sql.batch) moves its slice and the table in one statement; here slices are made, claimed and
counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from osc.errors import LeaseLost
from osc.failpoints import failpoint
from osc.state import changes
from osc.state.queries import Queries
from osc.state.refusals import LOOK, DamagedState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import AsyncConnection

Key = list[str]
"""A cursor: the key's columns as server text."""

_queries = Queries("slices.sql")


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of positions and how far it is walked. `epoch` counts its claims.

    Batches prove it together with `seq`. Positions are keys, or blocks in the file `filenode` of the table (osc.sql.pages).
    """

    slice: int
    change: int
    step: str
    lo: Key | None
    hi: Key | None
    cursor: Key | None
    seq: int
    waves: int
    epoch: int
    owner: UUID | None
    finished: bool
    rows_seen: int
    rows_filled: int
    batches: int
    started_at: datetime
    walk: str
    filenode: int | None
    leaf: int | None = None
    """The partition it is a piece of, by its oid; None where the table has none."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A window in which rows were locked by others; `lo` exclusive, `hi` inclusive."""

    skipped: int
    change: int
    step: str
    slice: int
    lo: Key | None
    hi: Key | None
    rows: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Poison:
    """A row whose expression raises, by key."""

    change: int
    step: str
    key: Key
    sqlstate: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """Sums over the slices of a step."""

    change: int
    step: str
    slices: int
    slices_finished: int
    lanes: int
    walk: str
    waves: int | None
    """Of the lanes that walk now."""
    waves_rest: bool
    """Whether they go without, because waves achieve nothing at the moment."""
    rows_waved: int
    """Updates that were counted, and how many of them were HOT."""
    rows_hot: int
    rows_seen: int
    rows_filled: int
    batches: int
    windows_skipped: int
    rows_skipped: int
    rows_poison: int
    started_s_ago: float


async def create(
    conn: AsyncConnection[Any], change: int, step: str, bounds: Sequence[tuple[Key | None, Key | None]],
    epoch: int, *, filenode: int | None = None, leaf: int | None = None,
) -> list[Slice]:  # fmt: skip
    """Return the slices of a step, or of one leaf of its table, made from `bounds` unless there are some already.

    Bounds are exclusive and inclusive, None is unbounded; with `filenode` they are blocks in that file. `epoch` is the
    change's; the slices begin at epoch 0, unclaimed. Raises LeaseLost if `epoch` does not lead and no slice is there.
    """
    await failpoint("slices.before")
    walk = "keyset" if filenode is None else "blocks"
    await _queries.run(
        conn, "create", change=change, step=step, bounds=Jsonb(list(bounds)), epoch=epoch, walk=walk, filenode=filenode,
        leaf=leaf,
    )  # fmt: skip
    await failpoint("slices.after")
    found = [one for one in await of_step(conn, change, step) if one.leaf == leaf]
    if bounds and not found:
        await changes.refuse(conn, change, epoch, f"make slices for {step}")
    return found


async def get(conn: AsyncConnection[Any], slice: int) -> Slice:
    """Return the slice; raise DamagedState if it is gone. Only reads."""
    row = await _queries.one(conn, "slices", slice=slice, change=None, step=None)
    if row is None:
        raise DamagedState(f"slice {slice} is not in the state any more", hint=LOOK)
    return Slice(**row)


async def of_step(conn: AsyncConnection[Any], change: int, step: str) -> list[Slice]:
    """Return the slices of a step in their order; only reads."""
    rows = await _queries.all(conn, "slices", slice=None, change=change, step=step)
    return [Slice(**row) for row in rows]


async def claim(conn: AsyncConnection[Any], slice: Slice, owner: UUID) -> Slice | None:
    """Make `owner` the slice's lane and return it under its new epoch; batches under older ones find no row
    from then.

    None if it was claimed by others since `slice` was read. A finished slice can be claimed: its skipped windows may
    still wait for a visit.
    """
    await failpoint("claim.before")
    row = await _queries.one(conn, "claim", slice=slice.slice, epoch=slice.epoch, owner=owner)
    await failpoint("claim.after")
    return None if row is None else Slice(**row)


async def claim_next(
    conn: AsyncConnection[Any], change: int, step: str, owner: UUID, *, mine: Sequence[int], silent_s: float
) -> Slice | None:
    """Claim the first slice of a step that nobody walks and that is not done with; None if there is none now.

    `mine` are those that this process walks already. Who was not seen for `silent_s` seconds walks no more.
    """
    await failpoint("claim.before")
    row = await _queries.one(
        conn, "claim_next", change=change, step=step, owner=owner, mine=list(mine), silent_s=float(silent_s)
    )
    await failpoint("claim.after")
    return None if row is None else Slice(**row)


async def is_open(conn: AsyncConnection[Any], change: int, step: str) -> bool:
    """Return whether a slice of the step is not walked to its end, or has windows to visit again; only reads."""
    return bool(await _queries.value(conn, "is_open", change=change, step=step))


async def let_go(conn: AsyncConnection[Any], slice: Slice) -> None:
    """Leave the slice to whoever comes; does nothing under an old epoch."""
    await _queries.one(conn, "let_go", slice=slice.slice, epoch=slice.epoch)


async def add_filled(
    conn: AsyncConnection[Any],
    slice: Slice,
    rows: int,
    *,
    waved: int = 0,
    hot: int = 0,
    waves: int = 1,
    rest: bool = False,
) -> None:
    """Count rows that batches filled, for display; does nothing under an old epoch.

    Of `waved` updates that were looked at `hot` were HOT; so many `waves` are in force now, or none while they `rest`.
    """
    await _queries.one(
        conn, "add_filled", slice=slice.slice, epoch=slice.epoch, rows=rows, waved=waved, hot=hot, waves=waves,
        rest=rest,
    )  # fmt: skip


async def finish(conn: AsyncConnection[Any], slice: Slice) -> None:
    """Mark the slice walked to its end as of `slice.seq`.

    Raise LeaseLost if it was claimed or moved meanwhile.
    """
    if await _queries.one(conn, "finish", slice=slice.slice, epoch=slice.epoch, seq=slice.seq) is None:
        raise LeaseLost(f"slice {slice.slice} is walked by another lane now", facts={"slice": slice.slice})


async def drop(
    conn: AsyncConnection[Any], change: int, step: str, epoch: int, *, leaves: Sequence[int] | None = None
) -> None:
    """Remove slices, skipped windows and poison rows of a step; raise LeaseLost if `epoch` does not lead.

    With `leaves` only the slices and skipped windows of these partitions.
    """
    await failpoint("drop_slices.before")
    told = None if leaves is None else list(leaves)
    row = await _queries.one(conn, "drop", change=change, step=step, epoch=epoch, leaves=told)
    await failpoint("drop_slices.after")
    if row is None:
        await changes.refuse(conn, change, epoch, f"drop the slices of {step}")


async def skipped(conn: AsyncConnection[Any], slice: int) -> list[Skipped]:
    """Return the windows of a slice that wait for another visit, the oldest first; only reads."""
    return [Skipped(**row) for row in await _queries.all(conn, "skipped", slice=slice)]


async def drop_skipped(conn: AsyncConnection[Any], slice: Slice, skipped: int) -> bool:
    """Forget a window that was visited without a miss.

    False, and nothing done, under an old epoch or if it is gone.
    """
    row = await _queries.one(conn, "drop_skipped", slice=slice.slice, epoch=slice.epoch, skipped=skipped)
    return row is not None


async def poison(conn: AsyncConnection[Any], change: int) -> list[Poison]:
    """Return the rows of a change that could not be filled; only reads."""
    return [Poison(**row) for row in await _queries.all(conn, "poison", change=change)]


async def clear_poison(conn: AsyncConnection[Any], row: Poison) -> None:
    """Forget a poison row: it was mended, or is to be tried again."""
    await _queries.run(conn, "clear_poison", change=row.change, step=row.step, key=row.key)


async def progress(conn: AsyncConnection[Any], numbers: Sequence[int]) -> list[Progress]:
    """Return the sums of each step that has slices, of several changes; only reads."""
    return [Progress(**row) for row in await _queries.all(conn, "progress", changes=list(numbers))]
