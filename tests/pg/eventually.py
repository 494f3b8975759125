"""Waiting for a fact about a server, with an end: tests state what will be so, not when."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], *, within_s: float = 5.0) -> T:
    """Return the first true value of ``look``; raise TimeoutError if there is none in time."""
    with anyio.fail_after(within_s):
        while True:
            if found := await look():
                return found
            await anyio.sleep(0.02)
