"""What tests of signals share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from osc.pg.session import Connection, close, connect
from osc.pg.target import Target
from osc.settings import DEFAULTS


@pytest.fixture
async def observer(dsn: str) -> AsyncIterator[Connection]:
    conn = await connect(Target.resolve(dsn), purpose="test:observer", settings=DEFAULTS)
    yield conn
    await close(conn)
