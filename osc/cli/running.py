"""Running async work from a command: signals cancel it in an orderly way, a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

from osc.cli.streams import say
from osc.errors import Interrupted

T = TypeVar("T")


def governed(work: Callable[[], Awaitable[T]], *, quiet: bool = False) -> T:
    """Run ``work`` to its end and return what it returns; ``quiet`` says nothing when a signal comes.

    SIGINT, SIGTERM and SIGHUP cancel it: the statement at hand is cancelled on the server, the lead is given up, the checkpoint
    stays. Then Interrupted is raised.
    """
    return anyio.run(_governed, work, quiet, backend="asyncio")


async def _governed(work: Callable[[], Awaitable[T]], quiet: bool) -> T:
    received: list[int] = []
    results: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        await group.start(_listen, group.cancel_scope, received, quiet)
        try:
            results.append(await work())
        except Exception as error:  # raised again below, outside of the group, which would wrap it
            failure = error
        group.cancel_scope.cancel()
    if results:
        return results[0]
    if received:
        raise Interrupted(received[0])
    assert failure is not None  # nothing returned, nothing interrupted
    raise failure


async def _listen(
    scope: anyio.CancelScope,
    received: list[int],
    quiet: bool,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(*_signals()) as signals:
        task_status.started()
        async for number in signals:
            if received:
                os._exit(128 + number)
            received.append(number)
            if not quiet:
                say(sys.stderr, "stopping: the statement at hand ends first; a second signal ends at once\n")
            scope.cancel()


def _signals() -> list[signal.Signals]:
    """Return what asks to stop; a terminal that goes away does too, unless nohup has said that it shall not."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
