"""What every verb is given: where the database is, who asks, and who listens."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from osc.clock import Clock, SystemClock
from osc.executor.reports import Listener, silent
from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS, Settings
from osc.state.schema import ensure_schema


def _whoami() -> str:
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
    who: str = field(default_factory=_whoami)

    @asynccontextmanager
    async def connection(self, purpose: str, *, read_only: bool = False) -> AsyncIterator[Connection]:
        """Yield a pinned session for ``purpose``; with ``read_only`` it cannot write, and a standby will do."""
        conn = await connect(self.target, purpose=purpose, settings=self.settings, read_only=read_only)
        try:
            yield conn
        finally:
            await close(conn)

    @asynccontextmanager
    async def state(self, purpose: str) -> AsyncIterator[Connection]:
        """Yield a session on a database whose osc schema is there and current."""
        async with self.connection(purpose) as conn:
            await ensure_schema(conn)
            yield conn
