"""Who else is on the server: who holds or waits for locks, who holds snapshots, how far a build is, who lives.

Values for people and for the lock gate to decide on; nothing here waits. Texts of other sessions are data of
strangers: cut short, and with control characters escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from osc.errors import printable
from osc.names import QName
from osc.pg.lock_modes import conflicting, from_server_name, server_name
from osc.pg.session import APPLICATION_PREFIX, Connection, run
from osc.redaction import statement
from osc.settings import DEFAULTS
from osc.sql.named import load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from osc.sql.locks import Lock, TableLock

QUERY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """A session (or prepared transaction) that holds a lock which ours would wait for, or waits for one itself.

    What the role may not see of other roles' sessions is ``None`` or empty; ``query`` is then
    ``<insufficient privilege>``. A prepared transaction has no ``pid``.
    """

    pid: int | None
    backend_start: datetime | None
    table: QName
    mode: Lock
    granted: bool
    age_s: float | None
    """Age of its transaction."""
    transaction: str
    """Its virtual transaction id: the same as long as the transaction lasts."""
    state: str
    application_name: str
    query: str
    wait_event: str
    is_autovacuum: bool = False
    to_prevent_wraparound: bool = False

    @property
    def ours(self) -> bool:
        return self.application_name.startswith(APPLICATION_PREFIX)


@dataclass(frozen=True, slots=True)
class SnapshotHolder:
    """A transaction whose snapshot a concurrent index build waits for."""

    pid: int | None
    backend_start: datetime | None
    age_s: float
    xmin_age: int
    state: str
    application_name: str
    query: str
    wait_event: str


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """A row of pg_stat_progress_create_index."""

    pid: int
    phase: str
    command: str
    index_oid: int
    lockers_total: int
    lockers_done: int
    current_locker_pid: int | None
    blocks_total: int
    blocks_done: int
    tuples_total: int
    tuples_done: int


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that a statement of ours waits for."""

    pid: int
    age_s: float | None
    state: str
    application_name: str
    query: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What a session does now. ``state`` is empty where we may not see it."""

    state: str
    waits_for: tuple[Blocker, ...]


@dataclass(frozen=True, slots=True)
class Waiter:
    """A session that waits for a lock, and whom it waits for."""

    pid: int
    blocked_by: tuple[int, ...]
    waits_s: float | None
    application_name: str
    query: str


S = TypeVar("S", Holder, SnapshotHolder, Blocker)


def discreetly(sessions: Iterable[S], *, redact: bool) -> tuple[S, ...]:
    """Return the sessions as they are told: with ``redact`` without what their statements may hold of rows."""
    return tuple(replace(one, query=statement(one.query, redact=redact)) for one in sessions)


async def holders(
    conn: Connection, locks: Sequence[TableLock], *, not_pids: Collection[int] = ()
) -> tuple[Holder, ...]:
    """Return who stands in the way of ``locks``, holders before waiters, the oldest first.

    A table that does not exist has no holders. ``conn`` itself and ``not_pids`` are left out.
    """
    modes = [",".join(server_name(mode) for mode in sorted(conflicting(lock.mode))) for lock in locks]
    rows = await _rows(
        conn,
        "holders",
        schemas=[lock.table.schema for lock in locks],
        tables=[lock.table.name for lock in locks],
        modes=modes,
        leaves=[lock.leaves for lock in locks],
        not_pids=list(not_pids),
    )
    return tuple(dict.fromkeys(_holder(row) for row in rows))


async def snapshot_holders(conn: Connection, *, older_than_s: float = 0.0) -> tuple[SnapshotHolder, ...]:
    """Return the transactions of this database with a snapshot, older than ``older_than_s``, the oldest first."""
    rows = await _rows(conn, "snapshot_holders", older_than_s=older_than_s)
    return tuple(SnapshotHolder(**row) for row in rows)


async def index_progress(conn: Connection, pid: int) -> IndexProgress | None:
    """Return how far the index build of backend ``pid`` is, None if it builds none or we may not see it."""
    rows = await _rows(conn, "index_progress", pid=pid)
    return IndexProgress(**rows[0]) if rows else None


async def who_waits_on(conn: Connection, pids: Iterable[int]) -> tuple[Waiter, ...]:
    """Return the sessions that wait for a lock behind one of the backends ``pids``, the longest first."""
    rows = await _rows(conn, "who_waits_on", pids=list(pids))
    return tuple(Waiter(**{**row, "blocked_by": tuple(row["blocked_by"])}) for row in rows)


async def doing(conn: Connection, pid: int) -> Doing | None:
    """Return what session ``pid`` does and whom it waits for; None if it is gone."""
    rows = await _rows(conn, "doing", pid=pid)
    if not rows:
        return None
    waits_for = await _rows(conn, "waits_for", pid=pid) if rows[0]["waits"] else []
    return Doing(state=rows[0]["state"], waits_for=tuple(Blocker(**row) for row in waits_for))


async def backend_alive(conn: Connection, pid: int, backend_start: datetime) -> bool:
    """Tell whether this very session still exists; one whose start we may not see counts as alive."""
    return bool(await _value(conn, "backend_alive", pid=pid, backend_start=backend_start))


async def terminate(conn: Connection, pid: int, backend_start: datetime) -> bool:
    """Ask this very session to end; return whether there was one to ask. It may take a moment to be gone."""
    return bool(await _value(conn, "terminate", pid=pid, backend_start=backend_start))


def _holder(row: dict[str, Any]) -> Holder:
    table = QName(row.pop("schema"), row.pop("name"))
    return Holder(table=table, mode=from_server_name(row.pop("mode")), **row)


async def _rows(conn: Connection, name: str, **params: Any) -> list[dict[str, Any]]:
    deadline_s = DEFAULTS.query_deadline_s + DEFAULTS.reply_grace_s
    cursor = await run(conn, load("activity")[name], params, deadline_s=deadline_s)
    columns = [column.name for column in cursor.description or ()]
    found = [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]
    for row in found:
        for text in {"query", "application_name"} & row.keys():
            row[text] = shown(row[text])
    return found


async def _value(conn: Connection, name: str, **params: Any) -> Any:
    (row,) = await _rows(conn, name, **params)
    (value,) = row.values()
    return value


def shown(text: str) -> str:
    """Return ``text`` of a stranger as one short line of printable characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= QUERY_CHARS_MAX else line[: QUERY_CHARS_MAX - 3] + "..."
