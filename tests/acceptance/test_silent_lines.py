"""F92: what stands between cuts a session that was silent for too long, in a build, a pause or a slow fill; the run goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from osc.pg.session import connect
from osc.pg.target import Target
from osc.program import Phase
from osc.settings import DEFAULTS
from osc.verbs.apply import apply
from osc.verbs.session import Session
from tests.acceptance.bench import Bench
from tests.pg.eventually import eventually
from tests.pg.line import Line, Weather

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

IDLE_S = 0.6
"""Longer than the heart and the questions whether to go on leave their sessions silent; what works may be so for longer."""


async def while_silent(bench: Bench, during: Callable[[Line], Awaitable[None]], **settings: Any) -> Line:
    """Run to the end over a line that cuts what is silent, while ``during`` keeps it from going on."""
    async with Line(make_conninfo(bench.dsn, host="127.0.0.1"), weather=Weather(idle_s=IDLE_S)) as line:
        target = Target.resolve(line.dsn)
        session = Session(target, settings=bench.session(**settings).settings, who="test")
        run = asyncio.ensure_future(apply(session, bench.plan, to=Phase.CONTRACT))
        await during(line)
        await run
    return line


async def begun(line: Line, words: str) -> bool:
    return any(words in asked for asked in line.seen)


async def cut(line: Line, words: str) -> bool:
    """Tell whether a line was cut that was silent since it was asked this."""
    return any(words in asked for asked in line.cut_idle)


async def test_a_build_whose_session_is_cut_is_built_anew_and_nothing_of_it_is_left(
    bench: Bench, undisturbed: Callable[..., Any]
) -> None:
    async def hold(line: Line) -> None:
        with bench.holding("SELECT 1", isolation="REPEATABLE READ"):
            await eventually(lambda: cut(line, "CREATE INDEX CONCURRENTLY"), within_s=20)

    line = await while_silent(bench, hold, long_holder_s=3600.0)
    assert bench.value("SELECT epoch FROM osc.lease") > 1, line.cut_idle
    assert bench.leftovers() == []
    assert bench.end() == undisturbed()


async def test_a_paused_run_whose_idle_sessions_are_cut_goes_on_when_it_is_resumed(
    bench: Bench, undisturbed: Callable[..., Any]
) -> None:
    async def pause(line: Line) -> None:
        await eventually(lambda: begun(line, "UPDATE osc.slice AS s"), within_s=20)
        await bench.pause()
        await eventually(lambda: cut(line, ""), within_s=20)
        await bench.resume()

    await while_silent(bench, pause)
    assert bench.end() == undisturbed()


async def test_the_system_is_asked_to_keep_a_silent_connection_known_to_what_stands_between(bench: Bench) -> None:
    target = Target.resolve(make_conninfo(bench.dsn, host="127.0.0.1"))
    conn = await connect(target, purpose="test:alive", settings=DEFAULTS)
    with socket.fromfd(conn.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM) as line:
        idle_s = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    await conn.close()
    assert idle_s <= 60
