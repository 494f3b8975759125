"""What every verb is given: where the database is, who asks, and who listens."""

from __future__ import annotations

import getpass
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from osc.clock import Clock, SystemClock
from osc.errors import LoginRefused, NotAdmitting, Unreachable
from osc.executor.explaining import trying_again
from osc.executor.reports import Listener, Report, silent
from osc.pg.lock_limits import pause_s
from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS, Settings
from osc.state.schema import ensure_schema


def whoami() -> str:
    """Return the person or pipeline that asks, for the history: CI systems say who acts, a terminal has a user."""
    actor = os.environ.get("OSC_ACTOR") or os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN")
    try:
        user = actor or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True)
class Session:
    """The surroundings of a verb. A Session holds no connection; each verb opens what it needs and closes it."""

    target: Target
    settings: Settings = DEFAULTS
    clock: Clock = field(default_factory=SystemClock)
    listener: Listener = silent
    who: str = field(default_factory=whoami)

    @asynccontextmanager
    async def connection(self, purpose: str, *, read_only: bool = False) -> AsyncIterator[Connection]:
        """Yield a pinned session for ``purpose``; with ``read_only`` it cannot write, and a standby will do.

        A server that lets nobody in for the moment is asked again, ever less often, ``admissions_max`` times in all; so
        is one that restarts: it shuts down, is gone, and starts up.
        """
        conn = await self._admitted(purpose, read_only=read_only)
        try:
            yield conn
        finally:
            await close(conn)

    async def _admitted(self, purpose: str, *, read_only: bool) -> Connection:
        settings, was_there = self.settings, False
        for attempt in range(settings.admissions_max):
            try:
                return await connect(self.target, purpose=purpose, settings=settings, read_only=read_only)
            except Unreachable as refused:
                was_there = was_there or isinstance(refused, NotAdmitting)
                if not was_there or isinstance(refused, LoginRefused) or attempt == settings.admissions_max - 1:
                    raise
                self.listener(Report(kind="waiting", change="", message=trying_again(refused), waiting="server"))
            first_s, max_s = settings.transient_pause_first_s, settings.transient_pause_max_s
            await self.clock.sleep(pause_s(attempt, first_s=first_s, max_s=max_s, jitter=random.random()))
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def state(self, purpose: str) -> AsyncIterator[Connection]:
        """Yield a session on a database whose osc schema is there and current."""
        async with self.connection(purpose) as conn:
            await ensure_schema(conn)
            yield conn
