"""Fault F95 between two people: the same command twice at once, and commands that want different things. One wins, the other is told.

One of the two is held at a failpoint where that makes the race certain.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from osc.errors import OscError
from osc.verbs.ack import ack
from osc.verbs.adopt import adopt
from osc.verbs.pause import Scope, pause
from osc.verbs.resolve import resolve
from osc.verbs.resume import resume
from tests.acceptance.bench import ID, Bench
from tests.acceptance.conftest import bench, known_ends, undisturbed
from tests.badinput.situations import GATED_PLAN, bring
from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from osc.verbs.session import Session

__all__ = ["bench", "known_ends", "undisturbed"]

CONFLICT, LEASE_LOST = 5, 75
AT_ONCE = 6
OTHER_PLAN = "osc: 1\ntitle: n\noperations:\n  - create_index: {table: items, name: notes, columns: [note]}\n"


async def at_once(bench: Bench, word: Callable[[Session], Awaitable[Any]]) -> Counter[object]:
    """Say a word in several sessions at once, and return how often it made the change, did nothing, or was refused."""
    came_to: Counter[object] = Counter()

    async def say() -> None:
        try:
            said = await word(bench.session())
            came_to[getattr(said, "changed", True)] += 1
        except OscError as error:
            came_to[error.exit_code] += 1

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(say)
    return came_to


def told(bench: Bench, kind: str) -> int:
    """Return how often the history has an event of this kind."""
    return int(bench.value("SELECT count(*) FROM osc.event WHERE kind = %s", kind))


@pytest.mark.anyio
async def test_a_word_that_several_people_say_at_once_counts_once(bench: Bench) -> None:
    bench.plan_text = GATED_PLAN
    assert bench.run("apply", detach=True).exit_code == 0
    scope, once = Scope(change_id=ID), {True: 1, False: AT_ONCE - 1}
    assert await at_once(bench, lambda one: ack(one, ID, "gone")) == once
    assert await at_once(bench, lambda one: ack(one, ID, "gone", revoke=True)) == once
    for of in (scope, Scope(table="items"), Scope(everything=True)):
        assert await at_once(bench, lambda one, of=of: pause(one, of)) == once
        assert await at_once(bench, lambda one, of=of: resume(one, of)) == once
    assert {kind: told(bench, kind) for kind in ("ack", "revoke", "pause", "resume")} == {
        "ack": 1, "revoke": 1, "pause": 3, "resume": 3}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("happened", daily([True, False], 2))
async def test_of_two_verdicts_on_a_step_the_first_counts(bench: Bench, happened: bool) -> None:
    bring(bench, "ambiguous")
    step = str(bench.value("SELECT step FROM osc.step WHERE state = 'ambiguous'"))
    came_to = await at_once(bench, lambda one: resolve(one, ID, step, happened=happened, reason="looked"))
    assert came_to == {True: 1, CONFLICT: AT_ONCE - 1}
    assert told(bench, "resolve") == 1


@pytest.mark.anyio
async def test_to_adopt_a_database_that_is_at_home_takes_the_lead_from_nobody(bench: Bench) -> None:
    """Else the leader would lose its lease, and who takes over would not know what of it still runs."""
    leader = bench.command("apply", "batch.before=stop@2", to="backfill")
    bench.until_stopped(leader)
    before = bench.look("SELECT h::text FROM osc.heartbeat AS h"), bench.look("SELECT b::text FROM osc.backend AS b")
    assert not (await adopt(bench.session(), reason="by mistake")).adopted
    after = bench.look("SELECT h::text FROM osc.heartbeat AS h"), bench.look("SELECT b::text FROM osc.backend AS b")
    assert after == before
    assert before[1] != []
    leader.go_on()
    assert leader.wait().exit_code == 0


@pytest.mark.parametrize("other", daily(["the same", "the same, tried again", "edited", "of another id"], 4))
def test_of_two_plans_that_are_registered_at_once_one_wins(bench: Bench, other: str) -> None:
    """Both have looked and found nobody; what decides is the write, and for two ids on one table who begins first."""
    again = other == "the same, tried again"
    if again:
        bring(bench, "rolled_back")
    path = bench.place / "other" / ("00002_notes.yaml" if other == "of another id" else bench.plan.name)
    path.parent.mkdir()
    path.write_text(bench.plan_text if other.startswith("the same") else OTHER_PLAN)
    slow = bench.command("apply", "register.before=stop", path=str(path), to="expand")
    bench.until_stopped(slow)
    assert bench.run("apply", to="expand").exit_code == 0
    before = bench.rows_and_catalog()
    slow.go_on()
    ended = slow.wait()
    assert ended.exit_code == (0 if other.startswith("the same") else CONFLICT), ended
    assert bench.rows_and_catalog() == before
    assert bench.look("SELECT id, attempt FROM osc.change WHERE state = 'expanded'") == [(ID, 2 if again else 1)]
    assert bench.value("SELECT count(*) FROM osc.phase") == 1


POINTS = ("state.before", "transaction.before", "transaction.after", "state.after@2")


@pytest.mark.parametrize(("point", "alive"), daily([(point, alive) for point in POINTS for alive in (True, False)], 8))
def test_a_rollback_while_the_switch_runs_ends_it_all(bench: Bench, point: str, alive: bool) -> None:
    """A leader that lives turns round itself and says so; one that stood still is overtaken, and writes nothing more."""
    before = bench.schema, bench.data
    bench.plan_text = GATED_PLAN
    assert bench.run("apply", to="backfill").exit_code == 0
    patient = replace(bench.settings, lease_s=60.0) if alive else bench.settings
    name, _, passage = point.partition("@")
    forward = bench.command("advance", f"{name}=stop@{passage or 1}", settings=patient, to="switch")
    bench.until_stopped(forward)
    back = bench.command("rollback")
    bench.until("SELECT direction = 'back' FROM osc.change")
    if not alive:
        bench.lease_runs_out()
        assert back.wait().exit_code == 0
    forward.go_on()
    ended = forward.wait()
    arrived = 0 if point == "state.after@2" else CONFLICT  # there the switch was complete before it could turn round
    assert ended.exit_code == (arrived if alive else LEASE_LOST), ended
    assert back.wait().exit_code == 0
    assert (bench.state, bench.schema, bench.data) == ("rolled_back", *before)


def test_a_rollback_that_comes_behind_the_first_drop_is_refused_and_the_drop_goes_on(bench: Bench) -> None:
    assert bench.run("apply", to="switch").exit_code == 0
    forward = bench.command("advance", "state.after=sleep:1@3", to="contract")
    bench.until("SELECT state = 'dropping' FROM osc.change")
    assert bench.run("rollback").exit_code == CONFLICT
    assert forward.wait().exit_code == 0
    assert bench.state == "done"


@pytest.mark.parametrize("verb", daily(["advance", "rollback", "verify"], 3))
def test_the_same_command_twice_at_once_ends_as_once(bench: Bench, undisturbed: Callable[..., Any], verb: str) -> None:
    assert bench.run("apply", to="backfill").exit_code == 0
    arguments = {"to": "switch"} if verb == "advance" else {}
    commands = [bench.command(verb, "", **arguments) for _ in range(2)]
    assert [one.wait().exit_code for one in commands] == [0, 0]
    if verb == "rollback":
        assert bench.state == "rolled_back"
    else:
        assert bench.end() == undisturbed("switch" if verb == "advance" else "backfill")
