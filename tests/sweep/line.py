"""A line between osc and its server on which, when it is told to, the next reply gets lost and the connection with it."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

from tests.pg.middlemen import Middleman

IDLE = (b":heartbeat", b":observer")
"""Sessions that only look on: losing a reply of theirs is another fault."""


class LosingLine(Middleman):
    """Passes everything on; after ``lose_next`` the first reply to anything asked from then on does not arrive."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._armed = threading.Event()
        self.lost = threading.Event()

    def lose_next(self) -> None:
        """Lose the reply to the next message of a session that works; its connection is cut when the server has answered."""
        self._armed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._dial()
        state = {"idle": False, "silent": False}
        await asyncio.gather(self._ask(reader, to_server, state), self._answer(from_server, writer, state))

    async def _ask(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, state: dict[str, bool]) -> None:
        first = True
        try:
            while data := await reader.read(1 << 20):
                state["idle"] = state["idle"] or (first and any(name in data for name in IDLE))
                if self._armed.is_set() and not first and not state["idle"]:
                    self._armed.clear()
                    state["silent"] = True
                first = False
                to_server.write(data)
                await to_server.drain()
        finally:
            to_server.close()

    async def _answer(
        self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter, state: dict[str, bool]
    ) -> None:
        try:
            while data := await from_server.read(1 << 20):
                if state["silent"] and data.endswith((b"Z\0\0\0\5I", b"Z\0\0\0\5E", b"Z\0\0\0\5T")):
                    self.lost.set()
                    break  # the server has answered, so what was asked is done
                if not state["silent"]:
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()


class InThread:
    """Runs the line beside a test that blocks."""

    def __init__(self, line: LosingLine) -> None:
        self.line = line
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self.line.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._do(self.line.__aexit__(kind, error, where))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
