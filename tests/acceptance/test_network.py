"""F20 to F22: whatever a line loses, and wherever, the run comes to the end of one that lost nothing, and does nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osc.pg.embedded import EmbeddedServer
from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.apply import apply
from osc.verbs.session import Session
from tests.acceptance.processes import QUICK
from tests.acceptance.roads import Roads, Way, exactly
from tests.fixtures.postgres import Databases
from tests.fixtures.sweeping import sampled, sweeping
from tests.pg.line import Exchange, Fault, Line, Loses, Weather

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(3600 if sweeping() else 120)]


@pytest.fixture
def roads(server: EmbeddedServer, databases: Databases, tmp_path: Path, schema_dump: Callable[[str], str]) -> Roads:
    return Roads(server, databases, tmp_path, schema_dump, QUICK)


@pytest.mark.parametrize(("way", "size"), [("forward", 2), ("back", 1)])
async def test_every_commit_whose_reply_is_lost_was_made_once(roads: Roads, way: Way, size: int) -> None:
    undisturbed = await roads.undisturbed(way)
    assert len(undisturbed.commits) > 40
    for place in sampled(undisturbed.commits, size):
        await same_end(roads, way, place, "reply")


@pytest.mark.parametrize("loses", ["request", "part of the reply"])
async def test_a_commit_that_was_not_asked_for_or_half_answered_is_found_out(roads: Roads, loses: Loses) -> None:
    for place in sampled((await roads.undisturbed("forward")).commits, 1):
        await same_end(roads, "forward", place, loses, at_byte=7)


async def test_a_statement_outside_of_a_transaction_that_still_runs_is_ended_before_anything_else(roads: Roads) -> None:
    """The client is gone, its session is not: the server's side of the line stays open."""
    places = (await roads.undisturbed("forward")).concurrent()
    assert len({place.text.split()[0] for place in places}) == 4
    for place in sampled(places, 1):
        await same_end(roads, "forward", place, "line while it runs")


async def test_a_reply_that_is_swallowed_is_not_waited_for(roads: Roads) -> None:
    """TCP acknowledges everything (F22), so nothing but our own deadline can tell."""
    short: dict[str, Any] = {"query_deadline_s": 1.0, "reply_grace_s": 0.3}
    for place in sampled((await roads.undisturbed("forward")).commits, 1):
        await same_end(roads, "forward", place, "every reply", **short)


async def test_on_a_slow_line_everything_goes_as_on_a_fast_one(roads: Roads) -> None:
    undisturbed = await roads.undisturbed("forward")
    with roads.bench() as bench:
        await bench.apply(Phase.BACKFILL)
        async with Line(roads.by_tcp(bench.dsn), weather=Weather(delay_s=0.004)) as line:
            await apply(
                Session(Target.resolve(line.dsn), settings=bench.settings, who="test"), bench.plan, to=Phase.CONTRACT
            )
        assert bench.end() == undisturbed.end


async def same_end(roads: Roads, way: Way, place: Exchange, loses: Loses, *, at_byte: int = 0, **settings: Any) -> None:
    undisturbed = await roads.undisturbed(way)
    fault = Fault(exactly(place), loses, at_byte)
    ended, _ = await roads.disturbed(way, fault, **settings)
    where = f"{loses} lost: {place.words[:200]} (number {place.number})"
    assert fault.happened, where
    assert (ended.end, ended.leftovers) == (undisturbed.end, []), where
    if loses == "reply" and place.text.startswith(("DO $", "CREATE INDEX", "DROP INDEX")):
        assert ended.seen[place.words] == undisturbed.seen[place.words], f"done twice: {where}"
