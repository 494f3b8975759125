"""F20 to F22: the server did it and the reply never came; the row or the catalog decides, and nothing is done twice.

By default after a third of the statements, after others each day; OSC_TEST_SWEEP=1 takes them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from osc.pg.embedded import EmbeddedServer
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.session import Session
from tests.acceptance.bench import ID, Bench
from tests.fixtures.sweeping import daily
from tests.pg.middlemen import Middleman

STATEMENTS = {
    "expand": "ADD COLUMN",
    "trigger": "ENABLE ALWAYS TRIGGER",
    "batch": "UPDATE osc.slice AS s",
    "build": 'INDEX CONCURRENTLY "osc_ix',
    "rename": "ALTER INDEX",
    "validate": "VALIDATE CONSTRAINT",
    "switch": "DROP NOT NULL",
    "retire": "RENAME COLUMN",
    "drop index": 'DROP INDEX CONCURRENTLY "public"',
    "drop": "DROP COLUMN",
    "state": "UPDATE osc.change AS c\n       SET state",
    "start": "attempts = s.attempts + 1",
    "lease": "osc.take_lease",
    "heartbeat": "UPDATE osc.heartbeat AS h SET expires_at",
}


class LosesOneReply(Middleman):
    """Keeps back the first reply to a statement with these words, once the server has given it."""

    def __init__(self, dsn: str, words: str, *, cuts: bool) -> None:
        super().__init__(dsn)
        self._words, self._cuts, self.lost = words.encode(), cuts, False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await self._dial()
        await asyncio.gather(self._ask(reader, to_server, from_server, writer), self._answer(from_server, writer))

    async def _ask(
        self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, from_server: Any, writer: Any
    ) -> None:
        try:
            while data := await reader.read(1 << 20):
                if self._words in data and not self.lost:
                    self.lost = True
                    writer.silent = True
                to_server.write(data)
                await to_server.drain()
        finally:
            to_server.close()

    async def _answer(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await from_server.read(1 << 20):
                if not getattr(writer, "silent", False):
                    writer.write(data)
                    await writer.drain()
                elif self._cuts:
                    break  # the server has answered, so it is committed
        finally:
            writer.close()


@pytest.fixture
def tcp(server: EmbeddedServer, bench: Bench) -> str:
    return server.dsn(bench.value("SELECT current_database()"), host="127.0.0.1")


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["expand", *daily([one for one in STATEMENTS if one != "expand"], 3)])
async def test_a_run_whose_line_is_cut_after_the_statement_comes_to_the_same_end(
    bench: Bench, tcp: str, undisturbed: Callable[..., Any], what: str
) -> None:
    await apply(bench.session(), bench.plan, to=Phase.CONTRACT, detach=True)
    async with LosesOneReply(tcp, STATEMENTS[what], cuts=True) as line:
        await advance(Session(Target.resolve(line.dsn), settings=bench.settings, who="test"), ID)
        assert line.lost
    assert bench.end() == undisturbed()
    assert bench.leftovers() == []
    if what in ("expand", "trigger", "switch", "retire", "drop", "rename"):
        assert bench.value("SELECT max(attempts) FROM osc.step") == 1, "what its row says is done was begun again"


@pytest.mark.anyio
@pytest.mark.parametrize("what", daily(["expand", "batch", "build", "validate", "start", "heartbeat"], 3))
async def test_a_reply_that_never_comes_is_not_waited_for(
    bench: Bench, tcp: str, undisturbed: Callable[..., Any], what: str
) -> None:
    settings = replace(bench.settings, query_deadline_s=1.5, reply_grace_s=0.5)
    await apply(bench.session(), bench.plan, to=Phase.CONTRACT, detach=True)
    async with LosesOneReply(tcp, STATEMENTS[what], cuts=False) as line:
        await advance(Session(Target.resolve(line.dsn), settings=settings, who="test"), ID)
        assert line.lost
    assert bench.end() == undisturbed()
    assert bench.leftovers() == []
