"""Sessions: every parameter that could change what our statements mean is pinned, every await has an end.

psycopg's async side runs on asyncio, so anyio runs on its asyncio backend throughout osc; said here, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import anyio
import psycopg
from psycopg.rows import TupleRow, tuple_row

from osc.errors import Finding, LoginRefused, NotAdmitting, NotPrimary, OscError, Refused, Unreachable
from osc.pg.outcome import ReplyLost
from osc.pg.pins import Pin, keeps, pinned
from osc.settings import DEFAULTS
from osc.sql.named import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg.abc import PQGen

    from osc.pg.target import Target
    from osc.settings import Settings

Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]
Cursor: TypeAlias = psycopg.AsyncCursor[TupleRow]
T = TypeVar("T")

APPLICATION_PREFIX = "osc:"
APPLICATION_NAME_BYTES_MAX = 63
OLDEST_VERSION = 140_000
CONNECTIONS = 6
"""How many sessions a run has at most at one time: the leader's four, and two that fill."""
_CANCEL_TIMEOUT_S = 3.0
"""For a cancel request, and then for the statement to follow it."""
_KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "6"}
"""A session is silent as long as its index build takes, and the system's own default is two hours: until then a firewall
between would long have forgotten the connection (F92). A DSN may say otherwise."""


class BoundedConnection(psycopg.AsyncConnection[TupleRow]):
    """A session on which no await is without an end: an exchange that nobody gave a deadline has the session's (F22)."""

    deadline_s = DEFAULTS.reply_deadline_s
    is_bounded = False
    """Whether ``within`` watches over what runs."""

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Run an exchange; raise ReplyLost, the connection closed, after the deadline."""
        exchange = super().wait(gen, *args, **kwargs)
        return await (exchange if self.is_bounded else within(self, self.deadline_s, exchange))


@dataclass(frozen=True, slots=True)
class Backend:
    """One session on the server; a later one with the same pid has another start."""

    pid: int
    backend_start: datetime


async def connect(target: Target, *, purpose: str, settings: Settings, read_only: bool = False) -> Connection:
    """Return an autocommit session on the primary with every parameter pinned and read back.

    ``purpose`` is ``<change id or verb>:<what for>``; pg_stat_activity shows it after ``osc:``. With ``read_only``
    a standby will do and the session cannot write. Raises Unreachable (LoginRefused where the role is not let in,
    NotAdmitting where nobody is for the moment), NotPrimary (C102), or Refused with a finding: C101 a pooler in
    transaction mode, C103 a server too old, C104 a parameter that cannot be set.
    """
    conn = await _open(target, purpose=purpose, settings=settings, read_only=read_only)
    try:
        await _admit(conn, target, settings=settings, read_only=read_only)
    except psycopg.Error as error:
        await close(conn)
        raise _unreachable(target, f"the session ended while it was set up ({type(error).__name__})") from error
    except BaseException:
        await close(conn)
        raise
    return conn


async def run(
    conn: Connection, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None, *, deadline_s: float
) -> Cursor:
    """Execute ``sql`` and return its cursor; raise ReplyLost, the connection closed, after ``deadline_s``."""
    return await within(conn, deadline_s, conn.execute(sql, params))


async def within(conn: Connection, deadline_s: float, work: Awaitable[T]) -> T:
    """Return what ``work`` on ``conn`` returns; after ``deadline_s`` hang up and raise ReplyLost.

    A reply can be lost for good while TCP looks healthy (F22), and a cancel request would wait for the same server.
    Shutting the socket wakes the await, and the server sees it within client_connection_check_interval.

    When the caller is cancelled, the statement is cancelled on the server and its end awaited, a few seconds at
    most. It runs in a task of its own, because anyio repeats a cancellation until its scope is left, which would
    cut psycopg's own cancelling short and leave the statement running. A connection serves one task at a time: what
    is cancelled is whatever runs on it.
    """
    task = asyncio.ensure_future(work)
    with _watched(conn):
        try:
            await asyncio.wait({task}, timeout=deadline_s)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await _cancel(conn, task)
            raise
        if task.done():
            return task.result()
        await _hang_up(conn, task)
    raise ReplyLost(f"no reply within {deadline_s:g} s; the connection was closed")


@contextlib.contextmanager
def _watched(conn: Connection) -> Iterator[None]:
    """Tell the connection that its exchanges have a deadline already."""
    if not isinstance(conn, BoundedConnection) or conn.is_bounded:
        yield
        return
    conn.is_bounded = True
    try:
        yield
    finally:
        conn.is_bounded = False


async def close(conn: Connection) -> None:
    """Close ``conn``, whatever state it is in; never raises and never waits for the server."""
    with contextlib.suppress(psycopg.Error, OSError):
        await conn.close()


async def backend_of(conn: Connection, *, deadline_s: float) -> Backend:
    """Return pid and start of the session of ``conn``, for whoever must end it one day."""
    row = await (await run(conn, load("activity")["backend_of"], deadline_s=deadline_s)).fetchone()
    assert row is not None  # a session always sees itself
    return Backend(pid=row[0], backend_start=row[1])


async def deadlock_timeout_ms(conn: Connection, *, deadline_s: float) -> int:
    """Return the server's deadlock_timeout."""
    row = await (await run(conn, load("session")["deadlock_timeout_ms"], deadline_s=deadline_s)).fetchone()
    assert row is not None
    return int(row[0])


async def set_timeouts(conn: Connection, *, statement_timeout_ms: int, lock_timeout_ms: int, deadline_s: float) -> None:
    """Set both timeouts of the session, in one round trip; 0 is none."""
    params = {"statement_timeout": f"{statement_timeout_ms:d}ms", "lock_timeout": f"{lock_timeout_ms:d}ms"}
    await run(conn, load("session")["set_timeouts"], params, deadline_s=deadline_s)


def application_name(purpose: str) -> str:
    """Return ``osc:<purpose>`` in at most 63 bytes of ASCII; what is too long loses its middle."""
    name = (APPLICATION_PREFIX + purpose).encode("ascii", "replace").decode()
    if len(name) <= APPLICATION_NAME_BYTES_MAX:
        return name
    half = (APPLICATION_NAME_BYTES_MAX - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


async def _open(target: Target, *, purpose: str, settings: Settings, read_only: bool) -> Connection:
    # With one host a standby is told apart below, with a clearer word than libpq's. read-write would also refuse a
    # primary whose role defaults to read only, which we can and do override.
    wanted = "primary" if target.several_hosts and not read_only else "any"
    params: dict[str, Any] = {
        **_KEEPALIVES,
        **target.params,
        "application_name": application_name(purpose),
        "client_encoding": "UTF8",
        "connect_timeout": settings.connect_timeout_s,
        "options": "",  # else PGOPTIONS would have a say
        "target_session_attrs": wanted,
    }
    hosts = target.params.get("host", "").count(",") + 1
    try:
        with anyio.fail_after(settings.connect_timeout_s * hosts + settings.reply_grace_s):
            conn = await BoundedConnection.connect(
                autocommit=True, prepare_threshold=None, row_factory=tuple_row, **params
            )
    except (psycopg.Error, OSError, UnicodeError) as error:  # TimeoutError is an OSError
        raise _connect_error(target, error) from None  # psycopg's text may quote the DSN (B59)
    conn.deadline_s = settings.reply_deadline_s
    return conn


async def _admit(conn: Connection, target: Target, *, settings: Settings, read_only: bool) -> None:
    if conn.info.server_version < OLDEST_VERSION:
        _refuse(
            "C103", f"{target.describe()} is PostgreSQL {conn.info.server_version // 10_000}", "osc needs 14 or newer"
        )
    if conn.info.parameter_status("server_encoding") == "SQL_ASCII":
        # Nothing says what its bytes mean, and keys, which osc carries as text, may be none (B74). Told from the
        # greeting: in the middle of a fill it would be too late.
        _refuse(
            "C105",
            f"{target.describe()} has the encoding SQL_ASCII, in which text may be any bytes; nothing was changed",
            "osc carries keys and names as text: move the data into a database with an encoding, UTF8 say",
        )
    mark = secrets.token_hex(8)
    pid, _, in_recovery = await _one(conn, "probe", {"mark": mark}, settings)
    if in_recovery and not read_only:
        raise _not_primary(f"{target.describe()} is a standby and cannot write")
    if pid != conn.info.backend_pid:
        await _look_twice(conn, target, settings, pid, mark)
    pins = pinned(settings, version=conn.info.server_version, read_only=read_only)
    await _pin(conn, target, settings, pins, {"pid": pid, "mark": mark})


async def _pin(
    conn: Connection,
    target: Target,
    settings: Settings,
    pins: Sequence[Pin],
    probed: Mapping[str, Any],
) -> None:
    names, values, only_if = (list(column) for column in zip(*pins, strict=True))
    params = {"names": names, "values": values, "only_if": [one or "" for one in only_if], **probed}
    try:
        cursor = await run(conn, load("session")["pin"], params, deadline_s=settings.query_deadline_s)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue) as error:
        _refuse("C104", f"a session parameter may not be set: {error.diag.message_primary}", "see the role's defaults")
    rows = await cursor.fetchall()
    if not rows:
        _refuse_pooler(target)
    wrong = [f"{name} is {actual!r}" for name, value, actual in rows if not keeps(value, actual)]
    wrong += sorted({f"{name} was not set" for name, _, condition in pins if condition is None} - {
        f"{name} was not set" for name, _, _ in rows
    })  # fmt: skip
    if wrong:
        _refuse("C104", f"a session parameter does not keep its value: {', '.join(wrong)}", "see the role's defaults")


async def _look_twice(conn: Connection, target: Target, settings: Settings, pid: int, mark: str) -> None:
    """Refuse a pooler in transaction mode, told from one in session mode by a second session beside the first.

    The backend is not the one that greeted us, so something stands between that makes its own greetings. Alone, we
    might be given the same backend every time; two idle clients that share one, or one that is moved, prove it.
    """
    other = await _open(target, purpose="probe", settings=settings, read_only=True)
    try:
        for _ in range(settings.pooler_probes):
            (theirs, _) = await _one(other, "probe_again", None, settings)
            ours = await _one(conn, "probe_again", None, settings)
            if theirs == pid or ours != (pid, mark):
                _refuse_pooler(target)
    finally:
        await close(other)


async def _one(conn: Connection, name: str, params: Mapping[str, Any] | None, settings: Settings) -> tuple[Any, ...]:
    cursor = await run(conn, load("session")[name], params, deadline_s=settings.query_deadline_s)
    row = await cursor.fetchone()
    assert row is not None
    return tuple(row)


async def _cancel(conn: Connection, task: asyncio.Future[Any]) -> None:
    """Cancel the statement and wait for its end; hang up if the server does not follow."""
    if not task.done():
        with contextlib.suppress(psycopg.Error, OSError):
            await conn.cancel_safe(timeout=_CANCEL_TIMEOUT_S)
        await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)
    await _hang_up(conn, task)


async def _hang_up(conn: Connection, task: asyncio.Future[Any]) -> None:
    """Let ``task`` end, with the socket shut under it if it has not yet, and forget what it says."""
    if not task.done():
        with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(conn.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)
        await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)
        await close(conn)
    if task.done() and not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it as lost


def _refuse(code: str, message: str, hint: str) -> NoReturn:
    raise Refused(message, hint=hint, findings=[Finding(code, message, hint)])


def _not_primary(message: str) -> NotPrimary:
    hint = "connect to the primary"
    return NotPrimary(message, hint=hint, findings=[Finding("C102", message, hint)])


def _refuse_pooler(target: Target) -> NoReturn:
    _refuse(
        "C101",
        f"{target.describe()} is reached through a pooler in transaction mode, where a session's settings are lost",
        "connect directly, not through a transaction pooler",
    )


_REASONS = (
    ("hot standby", "the server is a standby"),
    ("onnection refused", "nothing listens there"),
    ("could not translate host name", "the host name is not known"),
    ("Name or service not known", "the host name is not known"),
    ("No such file or directory", "there is no socket"),
    ("timeout expired", "no answer in time"),
    ("no password supplied", "the server wants a password and none was given"),
    ("server does not support SSL", "the server has no TLS"),
    ("certificate", "the certificate was not accepted"),
    ("closed the connection unexpectedly", "the server closed the connection"),
)


_LOGIN_REFUSED = re.compile(
    r"authentication failed|no pg_hba\.conf entry|pg_hba\.conf rejects|is not permitted to log in"
    r"|(role|database) \".*\" does not exist|permission denied for database"
)
"""libpq gives no SQLSTATE for a connection that failed; a server that speaks another language is only asked oftener."""
_NOT_ADMITTING = re.compile(
    r"too many clients already|too many connections for|remaining connection slots|no more connections allowed"
    r"|the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting connections)"
)
"""53300 and 57P03, and what a pooler says that is full."""


def _connect_error(target: Target, error: Exception) -> OscError:
    """Return our own error: libpq's text may hold parts of a DSN; what the server itself said (FATAL) is shown."""
    text = str(error)
    if "hot standby" in text and target.several_hosts:
        return _not_primary(f"none of the servers of {target.describe()} is a primary that answers")
    _, fatal, said = text.partition("FATAL:")
    if fatal:
        return _unreachable(target, target.without_secrets(said), _kind(said))
    if isinstance(error, TimeoutError):
        return _unreachable(target, "no answer in time")
    return _unreachable(target, next((said for sign, said in _REASONS if sign in text), "the connection failed"))


def _kind(said: str) -> type[Unreachable]:
    if _NOT_ADMITTING.search(said):
        return NotAdmitting
    return LoginRefused if _LOGIN_REFUSED.search(said) else Unreachable


def _unreachable(target: Target, reason: str, kind: type[Unreachable] = Unreachable) -> Unreachable:
    message = f"cannot connect to {target.describe()}: {reason}; nothing was changed"
    hint = "try the same with psql; OSC_DATABASE_URL, DATABASE_URL and PG* are read in this order"
    if kind is NotAdmitting:
        hint = f"wait for the server, or end connections that nobody needs (a run of osc takes {CONNECTIONS}), then try again"
    facts = {"source": target.source, "reason": reason}
    return kind(message, hint=hint, findings=[Finding("A101", message, hint)], facts=facts)
