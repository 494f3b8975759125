"""The line between osc and the server, in a thread of its own: it is cut, and replies to commits get lost on it."""

from __future__ import annotations

import asyncio
import random
import threading
from types import TracebackType
from typing import Self

from tests.pg.line import Exchange, Fault, Line, commits


class Road(threading.Thread):
    """Carries what osc says until the block ends; ``dsn`` is where it begins."""

    def __init__(self, dsn: str) -> None:
        super().__init__(daemon=True)
        self._line = Line(dsn)
        self._loop = asyncio.new_event_loop()
        self._open = threading.Event()
        self._closed = asyncio.Event()

    @property
    def dsn(self) -> str:
        """Where to connect to, password and all."""
        return self._line.dsn

    def __enter__(self) -> Self:
        self.start()
        assert self._open.wait(10)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._closed.set)
        self.join(10)

    def run(self) -> None:
        self._loop.run_until_complete(self._carry())

    async def _carry(self) -> None:
        async with self._line:
            self._open.set()
            await self._closed.wait()

    def cut(self) -> None:
        """Cut every line at once."""
        self._loop.call_soon_threadsafe(self._line.cut)

    def lose_a_reply(self, chance: random.Random) -> None:
        """Lose the reply to one of the next things that are committed."""
        left = chance.randint(1, 40)

        def hits(one: Exchange) -> bool:
            nonlocal left
            left -= commits(one.text)
            return left <= 0 and commits(one.text)

        def arm() -> None:
            self._line.texts.clear()  # a long soak says much
            self._line.seen.clear()
            self._line.fault = Fault(hits, "reply")

        self._loop.call_soon_threadsafe(arm)
