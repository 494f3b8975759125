"""Changes are registered once, move only as the table allows and only under the epoch that leads."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from psycopg import errors

from osc.errors import Conflict, LeaseLost
from osc.program import Phase
from osc.state import changes, events, journal, lease, registration, transitions
from osc.state.refusals import DamagedState, NewerState, PlanEdited
from osc.state.transitions import Event, State

if TYPE_CHECKING:
    from osc.state.changes import Change
    from tests.state.conftest import Open, Session, Submit

pytestmark = pytest.mark.anyio


async def advance(conn: Session, change: Change, epoch: int, *path: Event) -> Change:
    """Move the change along the path."""
    for event in path:
        change = await changes.set_state(conn, change, event, epoch, who="test")
    return change


async def lead(conn: Session, change: Change) -> int:
    """Take the lead."""
    epoch = await lease.take(conn, change.number, uuid4(), 60)
    assert epoch is not None
    return epoch


@pytest.mark.both_versions
async def test_registering_writes_the_change_with_its_steps_and_history(conn: Session, submit: Submit) -> None:
    submission = submit(steps_a_phase=2, labels={"tier": 1})
    change = await registration.register(conn, submission, who="pipeline")
    assert (change.id, change.attempt, change.state, change.open) == ("00001_users", 1, State.REGISTERED, True)
    assert change.tables == ("public.users",)
    assert change.labels == {"tier": 1}
    assert change.program() == submission.program
    assert change.program_hash == submission.program.hash()
    steps = await journal.steps(conn, change.number)
    assert [(one.ordinal, one.step) for one in steps] == list(
        enumerate((one.id for one in submission.program.steps()), 1)
    )
    assert {one.state for one in steps} == {"pending"}
    assert [one.kind for one in await events.history(conn, change.number)] == ["register"]
    assert await changes.find(conn, "00002_other") is None


async def test_registering_again_changes_nothing_but_what_the_hash_leaves_out(conn: Session, submit: Submit) -> None:
    first = await registration.register(conn, submit(), who="pipeline")
    assert await registration.register(conn, submit(), who="pipeline") == first
    second = await registration.register(conn, submit(title="New title", pacing={"speed": 0.5}), who="pipeline")
    assert second == dataclasses.replace(first, title="New title", pacing={"speed": 0.5})
    assert [one.kind for one in await events.history(conn, first.number)] == ["register", "describe"]


async def test_an_edited_plan_is_refused_until_it_is_rolled_back_and_then_is_attempt_two(
    conn: Session, submit: Submit
) -> None:
    first = await registration.register(conn, submit(), who="pipeline")
    with pytest.raises(PlanEdited) as refused:
        await registration.register(conn, submit(plan_hash="h2"), who="pipeline")
    assert (refused.value.code, refused.value.exit_code) == ("S201", 5)

    await advance(conn, first, await lead(conn, first), Event.ROLLBACK, Event.ROLLED_BACK)
    second = await registration.register(conn, submit(plan_hash="h2"), who="pipeline")

    assert (second.attempt, second.plan_hash, second.state) == (2, "h2", State.REGISTERED)
    assert [one.attempt for one in await changes.attempts(conn, first.id)] == [1, 2]
    assert await changes.open_changes(conn) == [second]
    assert len(await changes.all_changes(conn)) == 2


async def test_eight_executors_that_register_one_plan_get_one_change(
    conn: Session, session: Open, submit: Submit
) -> None:
    sessions = [await session() for _ in range(8)]
    found = await asyncio.gather(*(registration.register(one, submit(), who="p") for one in sessions))
    assert {one.number for one in found} == {found[0].number}
    assert len(await changes.all_changes(conn)) == 1


async def test_a_whole_run_leaves_its_times_and_its_history(conn: Session, change: Change) -> None:
    forward = [event for (_, event) in transitions._FORWARD]
    epoch = await lead(conn, change)
    done = await advance(conn, change, epoch, *forward)
    assert done.state is State.DONE
    times = await changes.phases(conn, change.number)
    assert list(times) == list(Phase)
    assert all(one.completed_at and one.completed_at >= one.begun_at for one in times.values())
    moves = [one for one in await events.history(conn, change.number) if one.kind == "state"]
    assert [one.data["event"] for one in moves] == forward
    assert {one.epoch for one in moves} == {epoch}


async def test_a_phase_that_was_undone_leaves_no_time_and_no_filled(conn: Session, change: Change) -> None:
    epoch = await lead(conn, change)
    upto = [event for (_, event) in transitions._FORWARD][:6]
    change = await advance(conn, change, epoch, *upto)
    await changes.mark_filled(conn, change.number, epoch)
    change = await advance(
        conn, await changes.get(conn, change.number), epoch, Event.ROLLBACK, Event.UNDO_REACHED_EXPAND
    )
    assert change.state is State.EXPANDED
    assert change.filled_at is None
    assert list(await changes.phases(conn, change.number)) == [Phase.EXPAND]


async def test_a_rollback_cannot_end_at_a_phase_that_was_never_complete(conn: Session, change: Change) -> None:
    epoch = await lead(conn, change)
    change = await advance(
        conn, change, epoch, Event.BEGIN_EXPAND, Event.COMPLETE_EXPAND, Event.BEGIN_DUAL_WRITE, Event.ROLLBACK
    )
    for event in (Event.UNDO_REACHED_DUAL_WRITE, Event.UNDO_REACHED_SWITCH):
        with pytest.raises(Conflict):
            await changes.set_state(conn, change, event, epoch, who="test")
    assert (await changes.get(conn, change.number)).state is State.ROLLING_BACK
    assert (await advance(conn, change, epoch, Event.UNDO_REACHED_EXPAND)).state is State.EXPANDED


async def test_only_the_leading_epoch_moves_a_change_and_only_from_the_state_it_saw(
    conn: Session, change: Change
) -> None:
    old = await lead(conn, change)
    await conn.execute("UPDATE osc.heartbeat SET expires_at = to_timestamp(0)")
    new = await lead(conn, change)
    with pytest.raises(LeaseLost) as lost:
        await changes.set_state(conn, change, Event.BEGIN_EXPAND, old, who="zombie")
    assert lost.value.facts["leading_epoch"] == new
    with pytest.raises(LeaseLost):
        await changes.mark_filled(conn, change.number, old)
    await changes.set_state(conn, change, Event.BEGIN_EXPAND, new, who="successor")
    with pytest.raises(Conflict, match="is expanding") as refused:
        await changes.set_state(conn, change, Event.BEGIN_EXPAND, new, who="successor")
    assert not isinstance(refused.value, LeaseLost)


async def test_moving_clears_the_problem(conn: Session, change: Change) -> None:
    await changes.problem(conn, change.number, {"code": "OSC-E200"})
    assert (await changes.get(conn, change.number)).problem == {"code": "OSC-E200"}
    await advance(conn, change, await lead(conn, change), Event.BEGIN_EXPAND)
    assert (await changes.get(conn, change.number)).problem is None


async def test_filled_is_dated_once(conn: Session, change: Change) -> None:
    epoch = await lead(conn, change)
    first = await changes.mark_filled(conn, change.number, epoch)
    assert await changes.mark_filled(conn, change.number, epoch) == first


async def test_a_target_is_recorded_and_no_way_back_after_the_first_drop(conn: Session, change: Change) -> None:
    aimed = await changes.set_target(conn, change, Phase.BACKFILL, "forward", who="pipeline")
    assert (aimed.target, aimed.direction) == (Phase.BACKFILL, "forward")
    back = await changes.set_target(conn, change, None, "back", who="sre")
    assert (back.target, back.direction) == (None, "back")
    await changes.set_target(conn, change, Phase.CONTRACT, "forward", who="sre")
    await conn.execute("UPDATE osc.change SET state = 'dropping'")
    with pytest.raises(Conflict, match="is dropping and cannot go back"):
        await changes.set_target(conn, change, None, "back", who="sre")
    assert (await changes.get(conn, change.number)).direction == "forward"


async def test_a_revision_replaces_the_steps_of_phases_not_begun(conn: Session, submit: Submit) -> None:
    change = await registration.register(conn, submit(), who="pipeline")
    epoch = await lead(conn, change)
    change = await advance(conn, change, epoch, Event.BEGIN_EXPAND)
    program = submit(steps_a_phase=2).program
    with pytest.raises(Conflict, match="phase expand"):
        await registration.revise(conn, change, program, epoch, who="pipeline")
    kept = tuple(submit().program.phase(one.phase) if one.phase is Phase.EXPAND else one for one in program.phases)
    program = program.model_copy(update={"phases": kept})
    revised = await registration.revise(conn, change, program, epoch, who="pipeline")
    assert revised.revision == 2
    assert revised.program() == program
    assert [one.step for one in await journal.steps(conn, change.number)] == [one.id for one in program.steps()]
    with pytest.raises(Conflict):
        await registration.revise(conn, change, program, epoch, who="pipeline")
    with pytest.raises(LeaseLost):
        await registration.revise(conn, revised, program, epoch - 1, who="zombie")


async def test_a_program_that_was_edited_by_hand_or_is_newer_is_not_run(conn: Session, change: Change) -> None:
    await conn.execute("UPDATE osc.change SET program = jsonb_set(program, '{title}', '\"evil\"')")
    with pytest.raises(DamagedState):
        (await changes.get(conn, change.number)).program()
    await conn.execute("UPDATE osc.change SET program = jsonb_set(program, '{format}', '99')")
    with pytest.raises(NewerState):
        (await changes.get(conn, change.number)).program()


async def test_a_change_or_lease_that_is_gone_is_reported_and_not_guessed(conn: Session, change: Change) -> None:
    with pytest.raises(DamagedState):
        await changes.get(conn, 999)
    await conn.execute("DELETE FROM osc.lease")
    with pytest.raises(DamagedState):
        await changes.set_state(conn, change, Event.BEGIN_EXPAND, 1, who="test")
    with pytest.raises(DamagedState):
        await lease.take(conn, change.number, uuid4(), 1)
    await conn.execute("DELETE FROM osc.heartbeat")
    with pytest.raises(DamagedState):
        await lease.take(conn, change.number, uuid4(), 1)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE osc.change SET state = 'nowhere'",
        "UPDATE osc.change SET target = 'nowhere'",
        "UPDATE osc.change SET direction = 'sideways'",
        "UPDATE osc.change SET attempt = 0",
        "UPDATE osc.change SET paused = true",
        "UPDATE osc.change SET program = '[]'",
        "INSERT INTO osc.phase (change, phase) SELECT change, 'nowhere' FROM osc.change",
        "INSERT INTO osc.phase (change, phase, completed_at) SELECT change, 'expand', to_timestamp(0) FROM osc.change",
        "UPDATE osc.lease SET epoch = -1",
        "UPDATE osc.step SET state = 'nowhere'",
        "UPDATE osc.step SET attempts = -1",
        "UPDATE osc.step SET state = 'ambiguous'",
        "UPDATE osc.step SET waiting = 'lock'",
        "INSERT INTO osc.slice (change, step, epoch, seq) VALUES (1, 's', 0, -1)",
        "INSERT INTO osc.slice (change, step, epoch, rows_filled) VALUES (1, 's', 0, -1)",
        "INSERT INTO osc.slice (change, step, epoch, waves) VALUES (1, 's', 0, 0)",
        "INSERT INTO osc.skipped (change, step, slice, rows) VALUES (1, 's', 1, -1)",
        "INSERT INTO osc.verification (change, step, mismatches) SELECT change, 's', -1 FROM osc.change",
        "INSERT INTO osc.setting (scope, key) VALUES ('everywhere', 'k')",
        "INSERT INTO osc.pause (scope) VALUES ('change:00001_users')",
        "UPDATE osc.meta SET schema_version = -1",
    ],
)
async def test_rows_that_cannot_be_are_refused_by_the_database(conn: Session, change: Change, tampering: str) -> None:
    with pytest.raises(errors.CheckViolation):
        await conn.execute(tampering)


async def test_two_open_attempts_and_two_meta_rows_are_refused_by_the_database(conn: Session, change: Change) -> None:
    with pytest.raises(errors.UniqueViolation):
        await conn.execute(
            "INSERT INTO osc.change (id, attempt, plan, plan_hash, program, program_hash) "
            "SELECT id, 2, plan, plan_hash, program, program_hash FROM osc.change"
        )
    with pytest.raises(errors.UniqueViolation):
        await conn.execute("INSERT INTO osc.meta SELECT * FROM osc.meta")
