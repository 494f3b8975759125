"""A line to the server that reads what passes, so that a test can say what it loses: whole replies, parts of them, or time.

An exchange is one message of the client up to the server's "ready again". What the client sends is known by its text.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from psycopg.conninfo import conninfo_to_dict

from tests.pg.middlemen import GSS_REQUEST, SSL_REQUEST, Middleman

Loses = Literal["request", "reply", "part of the reply", "line while it runs", "every reply", "every message"]
"""What a fault takes away: the request before the server has it; the reply, cut once the server is ready again, so
what could commit has; the reply after ``at_byte`` of it; the client's side of the line as soon as the server works,
while the server's side stays open; every reply from here on, while TCP acknowledges; or every message both ways."""

_WRITES = re.compile(
    r"\b(INSERT INTO|UPDATE \w+\.|DELETE FROM|CREATE|ALTER|DROP|COMMENT ON|ANALYZE)\b|\A\s*DO\b"
    r"|\bosc\.(take_lease|record_event|register\w*)\("
)
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True)
class Exchange:
    """What the client asked: its text, and of those with the same words the how manieth it was."""

    text: str
    number: int

    @property
    def words(self) -> str:
        return words(self.text)


def words(text: str) -> str:
    """Return what tells a statement from others, without what differs from run to run: numbers, hashes, comments."""
    text = re.sub(r"'[^']*'|\b\d+\b|[0-9a-f]{8,}|_e\d+|\d+_dead\d+", "#", _COMMENT.sub("", text))
    return " ".join(text.split())[:400]


def commits(text: str) -> bool:
    """Tell whether something is committed by it."""
    return bool(_WRITES.search(_COMMENT.sub("", text)))


@dataclass
class Fault:
    """What happens once, to the first exchange that ``hits`` picks; with ``whole`` to every line from then on."""

    hits: Callable[[Exchange], bool]
    loses: Loses
    at_byte: int = 0
    whole: bool = False
    happened: bool = False


@dataclass(eq=False)
class _Session:
    """One client's line to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    fault: Fault | None = None
    asked: str = ""
    """The words of the last exchange."""
    replied: int = 0
    """Bytes of the reply to the exchange that has the fault."""
    parsed: str = ""
    """The text of the unnamed statement."""
    unanswered: int = 1
    """Exchanges whose end was not seen, the greeting among them; statements may be sent before others have answered."""
    before: int = 0
    """So many of them come before the one that has the fault."""
    passed_at: float = field(default_factory=time.monotonic)
    """When something was last on its way."""


@dataclass
class Weather:
    """How the line is for everybody."""

    delay_s: float = 0.0
    """Each way."""
    refuses: bool = False
    """New connections are refused."""
    slow_s: float = 0.0
    """New connections are served so much later."""
    swallows: bool = False
    """Replies disappear, while TCP goes on acknowledging."""
    idle_s: float | None = None
    """A line on which nothing passed for so long is cut on both sides, as proxies do; also where the server works."""


class Line(Middleman):
    """Listens on 127.0.0.1 in front of the server of ``dsn``, which must be given by 127.0.0.1 too."""

    def __init__(self, dsn: str, fault: Fault | None = None, *, weather: Weather | None = None) -> None:
        super().__init__(dsn)
        self.fault = fault
        self.weather = weather or Weather()
        self.seen: Counter[str] = Counter()
        self.texts: list[Exchange] = []
        self.connections = 0
        self.cut_idle: Counter[str] = Counter()
        """How many lines were cut because they were silent, by what was asked last on them."""
        self._sessions: set[_Session] = set()

    def lead_to(self, dsn: str) -> None:
        """Lead new connections to another server, as a proxy after a failover; those that are there stay."""
        self._host, self._port = (str(conninfo_to_dict(dsn)[key]) for key in ("host", "port"))

    def cut(self) -> int:
        """Cut every line at once, on both sides; return how many there were."""
        lines = list(self._sessions)
        for one in lines:
            _reset(one.writer)
            _reset(one.to_server)
        return len(lines)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.weather.refuses:
            _reset(writer)
            return
        await asyncio.sleep(self.weather.slow_s)
        startup = await _startup(reader, writer)
        from_server, to_server = await self._dial()
        to_server.write(startup)
        session = _Session(reader, writer, from_server, to_server)
        self._sessions.add(session)
        try:
            await asyncio.gather(self._ask(session), self._answer(session), self._watch(session))
        finally:
            self._sessions.discard(session)
            if session.fault is None or session.fault.loses != "line while it runs":
                to_server.close()

    async def _ask(self, session: _Session) -> None:
        """Pass on the client's messages, one exchange at a time."""
        pending, text = b"", ""
        while True:
            try:
                message = await _message(session.reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                if session.fault is None or session.fault.loses != "line while it runs":
                    session.to_server.close()
                return
            session.passed_at = time.monotonic()
            pending += message
            kind = message[:1]
            if kind in (b"Q", b"P"):
                text = message[5:].split(b"\0")[0 if kind == b"Q" else 1].decode("utf-8", "replace")
                session.parsed = text
            elif kind == b"B":
                text = text or session.parsed
            if kind in (b"P", b"B", b"D", b"E", b"C"):
                continue
            if kind in (b"Q", b"S"):
                self._note(session, text)
                session.unanswered += 1
                text = ""
            await asyncio.sleep(self.weather.delay_s)
            if session.fault is not None and session.fault.loses == "request":
                self._happen(session)
                _reset(session.writer)
                return
            if not (session.fault is not None and session.fault.loses == "every message"):
                session.to_server.write(pending)
                await session.to_server.drain()
            else:
                self._happen(session)
            pending = b""
            if session.fault is not None and session.fault.loses == "line while it runs":
                self._happen(session)
                await asyncio.sleep(0.05)  # the server has read it, and works
                _reset(session.writer)
                return

    async def _watch(self, session: _Session) -> None:
        """Cut the line when it was silent for too long."""
        while not session.writer.is_closing():
            await asyncio.sleep(0.05)
            if self.weather.idle_s is not None and time.monotonic() - session.passed_at > self.weather.idle_s:
                self.cut_idle[session.asked] += 1
                _reset(session.writer)
                _reset(session.to_server)
                return

    def _note(self, session: _Session, text: str) -> None:
        if not text:
            return
        self.seen[words(text)] += 1
        session.asked = words(text)
        exchange = Exchange(text, self.seen[words(text)])
        self.texts.append(exchange)
        fault = self.fault
        if fault is None or session.fault is not None:
            return
        if fault.happened and fault.whole:
            session.fault = fault
        elif not fault.happened and fault.hits(exchange):
            session.fault, session.replied, session.before = fault, 0, session.unanswered
            fault.happened = fault.loses in ("every reply", "reply", "part of the reply")

    def _happen(self, session: _Session) -> None:
        assert session.fault is not None
        session.fault.happened = True

    async def _answer(self, session: _Session) -> None:
        """Pass on the server's messages."""
        while True:
            try:
                message = await _message(session.from_server)
            except (asyncio.IncompleteReadError, ConnectionError):
                if not self.weather.swallows:
                    session.writer.close()
                return
            session.passed_at = time.monotonic()
            await asyncio.sleep(self.weather.delay_s)
            fault = None if session.before else session.fault
            if message[:1] == b"Z":
                session.unanswered -= 1
                session.before = max(0, session.before - 1)
            if self.weather.swallows or (fault is not None and fault.loses in ("every reply", "every message")):
                continue
            if fault is not None and fault.loses == "reply":
                if message[:1] != b"Z":
                    continue
                _reset(session.writer)
                return
            if fault is not None and fault.loses == "part of the reply":
                left = fault.at_byte - session.replied
                session.replied += len(message)
                if left < len(message):
                    session.writer.write(message[: max(0, left)])
                    await session.writer.drain()
                    session.writer.close()
                    return
            session.writer.write(message)
            await session.writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Cut the line with a reset, not with a polite end."""
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        body = await reader.readexactly(length - 8)
        if code not in (SSL_REQUEST, GSS_REQUEST):
            return head + body
        writer.write(b"N")
