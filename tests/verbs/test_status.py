"""Status tells of every open change where it stands, what to type next and the way back, and disturbs nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import Conflict, Unreachable
from osc.pg.target import Target
from osc.program import Phase
from osc.state import changes, gates, journal, pauses, slices
from osc.state.transitions import Event
from osc.verbs.session import Session
from osc.verbs.standing import Condition
from osc.verbs.status import status
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.standing import Standing
    from tests.fixtures.postgres import Connect
    from tests.verbs.conftest import Bring, Leading

pytestmark = pytest.mark.anyio
TOLD = {"done": 0, "total": None, "rate": None, "unit": "rows", "phase": "", "mismatches": 0}


async def shown(session: Session) -> Standing:
    (standing,) = (await status(session, ID)).changes
    return standing


async def test_a_database_without_state_has_no_changes_and_gets_none(session: Session, schemas: Any) -> None:
    assert (await status(session)).changes == ()
    assert not schemas()


async def test_an_unknown_id_is_refused_with_the_nearest_one(session: Session, change: Change) -> None:
    with pytest.raises(Conflict, match="no change 00001_pgbench_balanc is registered") as refused:
        await status(session, "00001_pgbench_balanc")
    assert refused.value.hint == f"did you mean {ID!r}?"


async def test_a_change_that_rests_says_how_it_goes_on(session: Session, change: Change) -> None:
    now = await shown(session)
    assert now.condition is Condition.RESTING
    assert (now.next.command, now.way_back.command) == (f"osc advance {ID} --to expand", f"osc rollback {ID}")
    assert now.new_application_from.startswith("backfill")
    assert now.old_application_until == "contract"
    assert "no way back" in now.point_of_no_return
    assert [gate.name for gate in now.gates if gate.open is False] == ["app-2", "old-retired"]


async def test_a_change_that_nobody_leads_says_what_to_run(session: Session, conn: Connection, change: Change) -> None:
    await changes.set_target(conn, change, Phase.BACKFILL, "forward", who="t")
    now = await shown(session)
    assert now.condition is Condition.STOPPED
    assert now.next.command == f"osc advance {ID}"


async def test_a_closed_gate_names_the_command_that_opens_it(
    session: Session, conn: Connection, change: Change, bring: Bring
) -> None:
    await bring(change, Event.COMPLETE_BACKFILL)
    assert (await shown(session)).next.command == f"osc ack {ID} app-2"
    await changes.set_target(conn, change, Phase.SWITCH, "forward", who="t")
    now = await shown(session)
    assert (now.condition, now.next.command) == (Condition.CLOSED, f"osc ack {ID} app-2")
    assert now.waiting == "ack app-2: nobody has said so yet"

    await gates.open_gate(conn, change, "app-2", who="pipeline", reason="v2")
    now = await shown(session)
    assert (now.condition, now.next.command) == (Condition.STOPPED, f"osc advance {ID}")
    assert re.fullmatch(r"pipeline, \d{4}-\d\d-\d\d \d\d:\d\d UTC: v2", now.gates[0].told)


async def test_a_wait_for_a_lock_names_who_holds_it(
    session: Session, conn: Connection, change: Change, leading: Leading
) -> None:
    blocker = {"pid": 9, "age_s": 300.0, "state": "idle in transaction", "application": "billing", "query": "UPDATE x"}
    async with leading(change) as epoch:
        change = await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
        await journal.start(conn, change.number, 1, epoch)
        detail = {"reason": "long_holder", "attempts": 1, "blockers": [blocker]}
        await journal.waiting(conn, change.number, 1, epoch, "lock", detail)
        now = await shown(session)
    assert (now.condition, now.waiting) == (Condition.WAITING, "a lock: a long transaction holds the table")
    assert now.blockers == (blocker,)
    assert now.next.why == "nothing: it goes on as soon as pid 9 lets go"
    assert now.leader == "apply on runner-7 (pid 4711)"
    assert now.step
    assert now.step.title == "Add public.pgbench_accounts.balance bigint, empty"


async def test_a_fill_shows_progress_and_rate(
    session: Session, conn: Connection, change: Change, bring: Bring, leading: Leading, connect: Connect
) -> None:
    change = await bring(change, Event.BEGIN_BACKFILL)
    async with leading(change) as epoch:
        ordinal = next(row.ordinal for row in await journal.steps(conn, change.number) if row.kind == "fill")
        row = await journal.start(conn, change.number, ordinal, epoch)
        await slices.create(conn, change.number, row.step, [(None, None)], epoch)
        connect().execute("UPDATE osc.slice SET rows_seen = 25")
        await journal.progress(conn, change.number, ordinal, epoch, {**TOLD, "done": 20, "rate": 2.5})
        now = await shown(session)
        assert now.condition is Condition.RUNNING
        assert now.progress
        assert (now.progress.done, now.progress.total, now.progress.share) == (25, 100, 0.25)
        assert (now.progress.rate, now.progress.eta_s) == (2.5, 30.0)

        await journal.waiting(conn, change.number, ordinal, epoch, "throttle", {"reasons": ["a", "b"]})
        rests = await shown(session)
        assert (rests.waiting, rests.reasons) == ("held back: a; b", ("a", "b"))
        assert rests.progress
        assert (rests.progress.done, rests.progress.rate, rests.progress.eta_s) == (25, None, None)

        await journal.waiting(conn, change.number, ordinal, epoch, None)
        await pauses.pause(conn, f"change:{ID}", who="sre", reason="incident 7")
        rests = await shown(session)
        assert rests.progress
        assert (rests.progress.done, rests.progress.rate, rests.progress.eta_s) == (25, None, None)
        await pauses.resume(conn, f"change:{ID}", who="sre")

        connect().execute("UPDATE osc.slice SET rows_seen = 140")
        more = (await shown(session)).progress
        assert more
        assert (more.share, more.rate, more.eta_s) == (1.0, 2.5, None)  # the estimate was too low: not 0 s
    ended = (await shown(session)).progress  # nobody leads it any more
    assert ended
    assert (ended.done, ended.rate) == (140, None)


@pytest.mark.parametrize(
    ("kind", "told", "done", "left_s"),
    [
        ("verify", {"done": 50, "total": 100, "rate": 5.0, "mismatches": 2}, 50, 10.0),
        ("index", {"done": 30, "total": 90, "rate": 20.0, "unit": "blocks", "phase": "building index"}, 30, 3.0),
        ("index", {"done": None, "unit": "", "phase": "waiting for old snapshots"}, 0, None),
    ],
)
async def test_verification_and_index_builds_show_how_far_they_are(
    session: Session, conn: Connection, change: Change, bring: Bring, leading: Leading,
    kind: str, told: dict[str, Any], done: int, left_s: float | None,
) -> None:  # fmt: skip
    change = await bring(change, Event.BEGIN_BACKFILL)
    async with leading(change) as epoch:
        ordinal = next(row.ordinal for row in await journal.steps(conn, change.number) if row.kind == kind)
        await journal.start(conn, change.number, ordinal, epoch)
        assert (await shown(session)).progress is None
        await journal.progress(conn, change.number, ordinal, epoch, {**TOLD, **told})
        now = (await shown(session)).progress
        assert now
        assert (now.done, now.eta_s, now.phase) == (done, left_s, told.get("phase", ""))
        assert (now.unit, now.mismatches) == (told.get("unit", "rows"), told.get("mismatches", 0))

        await journal.progress(conn, change.number, ordinal, epoch - 1, {**TOLD, "done": 1})  # a zombie's word
        assert (await shown(session)).progress == now
        await journal.start(conn, change.number, ordinal, epoch)  # what an attempt before told is no news of this one
        assert (await shown(session)).progress is None


async def test_a_failure_comes_with_its_remedy(session: Session, conn: Connection, change: Change) -> None:
    problem = {"code": "OSC-E200", "message": "no room", "hint": "make room on the disk", "exit_code": 1}
    await changes.problem(conn, change.number, problem)
    now = await shown(session)
    assert now.condition is Condition.FAILED
    assert "make room on the disk" in now.next.why


@pytest.mark.parametrize(
    ("scope", "command"),
    [
        (f"change:{ID}", f"osc resume {ID}"),
        ("table:public.pgbench_accounts", "osc resume --table public.pgbench_accounts"),
        ("*", "osc resume --all"),
    ],
)
async def test_a_pause_says_who_why_and_how_it_is_lifted(
    session: Session, conn: Connection, change: Change, scope: str, command: str
) -> None:
    await pauses.pause(conn, scope, who="sre", reason="incident 7")
    now = await shown(session)
    assert (now.condition, now.waiting, now.next.command) == (Condition.PAUSED, "paused by sre: incident 7", command)


async def test_an_ambiguous_step_asks_for_a_verdict(
    session: Session, conn: Connection, change: Change, leading: Leading
) -> None:
    async with leading(change) as epoch:
        change = await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
        row = await journal.start(conn, change.number, 1, epoch)
        await journal.ambiguous(conn, change.number, 1, epoch, {"message": "reply lost"})
    now = await shown(session)
    assert now.condition is Condition.AMBIGUOUS
    assert now.next.command.startswith(f"osc resolve {ID} {row.step} --happened")


async def test_after_switch_the_way_back_is_to_backfill(session: Session, change: Change, bring: Bring) -> None:
    await bring(change, Event.COMPLETE_SWITCH)
    assert (await shown(session)).way_back.command == f"osc rollback {ID} --to backfill"


async def test_it_waits_for_no_lock_and_takes_none(session: Session, change: Change, connect: Connect) -> None:
    with connect(autocommit=False) as busy:
        busy.execute("LOCK TABLE pgbench_accounts IN ACCESS EXCLUSIVE MODE")
        busy.execute("SELECT FROM osc.change FOR UPDATE")
        assert (await shown(session)).id == ID
        busy.rollback()


async def test_everything_it_says_is_json(session: Session, change: Change) -> None:
    import json

    document = json.loads(json.dumps((await status(session)).as_json()))
    (told,) = document["changes"]
    assert (told["id"], told["condition"], told["phases"]["expand"]) == (ID, "resting", "ahead")


def test_conditions_are_sorted_worst_first() -> None:
    assert sorted(Condition, key=lambda one: one.rank)[:3] == [
        Condition.AMBIGUOUS,
        Condition.FAILED,
        Condition.STOPPED,
    ]


async def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    session = Session(Target.resolve("postgresql://u:canary-4711@127.0.0.1:1/x", environ={}))
    with pytest.raises(Unreachable) as told:
        await status(session)
    assert "canary" not in str(told.value.as_json())
