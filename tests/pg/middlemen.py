"""What may stand between a client and its server: a pooler, and a line on which replies get lost."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102


class Middleman:
    """Listens on 127.0.0.1 in front of the server of ``dsn``, which must be given by 127.0.0.1 too."""

    def __init__(self, dsn: str) -> None:
        self._host, self._port = (str(conninfo_to_dict(dsn)[key]) for key in ("host", "port"))
        self._dsn = dsn
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.dsn = make_conninfo(self._dsn, host="127.0.0.1", port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        self._writers.append(writer)
        return reader, writer


class BlackHole(Middleman):
    """Passes everything on until ``swallow`` is set; then replies disappear, while TCP goes on acknowledging."""

    swallow = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._dial()
        await asyncio.gather(self._copy(reader, to_server), self._copy(from_server, writer, swallowing=True))

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, swallowing: bool = False
    ) -> None:
        try:
            while data := await source.read(65536):
                if not (swallowing and self.swallow):
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()


class Pooler(Middleman):
    """Lends ``size`` sessions to its clients, for a transaction or for good, and makes its own greetings."""

    def __init__(self, dsn: str, *, size: int, per_transaction: bool, newest_first: bool) -> None:
        super().__init__(dsn)
        self._size = size
        self._per_transaction = per_transaction
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.LifoQueue() if newest_first else asyncio.Queue()
        )
        self._greeting = b""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await self._startup(reader, writer)
        while not self._greeting or self._size > 0:
            self._size -= 1
            await self._open(startup)
        writer.write(self._greeting)
        server = None
        while True:
            head = await reader.readexactly(5)
            message = head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            if head[:1] == b"X":
                break
            server = server or await self._free.get()
            server[1].write(message)
            if head[:1] in b"QS" and await self._replies(server[0], writer) == b"I" and self._per_transaction:
                self._free.put_nowait(server)
                server = None

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            body = await reader.readexactly(length - 8)
            if code == CANCEL_REQUEST:
                raise ConnectionError
            if code not in (SSL_REQUEST, GSS_REQUEST):
                return head + body
            writer.write(b"N")

    async def _open(self, startup: bytes) -> None:
        server = await self._dial()
        server[1].write(startup)
        greeting = b""
        while not greeting.endswith(b"Z\0\0\0\5I"):
            head = await server[0].readexactly(5)
            body = await server[0].readexactly(struct.unpack("!I", head[1:])[0] - 4)
            greeting += head + (struct.pack("!II", 4242, 0) if head[:1] == b"K" else body)
        self._greeting = greeting
        self._free.put_nowait(server)

    async def _replies(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> bytes:
        while True:
            head = await source.readexactly(5)
            body = await source.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            sink.write(head + body)
            await sink.drain()
            if head[:1] == b"Z":
                return body
