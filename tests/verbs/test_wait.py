"""Wait returns when the phase is complete, and at once when waiting cannot help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from osc.errors import Conflict, GateClosed, OscError, OutcomeUnknown, Refused, TryAgainLater
from osc.program import Phase
from osc.state import changes, journal, pauses
from osc.state.transitions import Event
from osc.verbs.wait import wait
from tests.verbs.conftest import ID

if TYPE_CHECKING:
    from osc.executor.reports import Report
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.verbs.conftest import Bring, Leading

pytestmark = pytest.mark.anyio


async def test_a_complete_phase_returns_at_once(session: Session, change: Change, bring: Bring) -> None:
    await bring(change, Event.COMPLETE_DUAL_WRITE)
    done = await wait(session, ID, Phase.EXPAND)
    assert (done.phase, done.message) == ("dual_write", f"{ID}: expand is complete")


async def test_it_returns_when_somebody_completes_the_phase(session: Session, change: Change, bring: Bring) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(bring, change, Event.COMPLETE_BACKFILL)
        assert (await wait(session, ID, Phase.BACKFILL, timeout=20)).state == "backfilled"


async def test_a_gate_that_a_person_must_open_ends_it(session: Session, change: Change, bring: Bring) -> None:
    await bring(change, Event.COMPLETE_BACKFILL)
    with pytest.raises(GateClosed) as closed:
        await wait(session, ID, Phase.SWITCH, timeout=20)
    assert closed.value.hint == f"osc ack {ID} app-2"


async def test_a_problem_is_told_as_the_error_it_was(session: Session, conn: Connection, change: Change) -> None:
    problem = Refused("3 rows cannot be filled", hint="mend them", facts={"rows": 3})
    await changes.problem(conn, change.number, {**problem.as_json(), "step": "x"})
    with pytest.raises(Refused) as told:
        await wait(session, ID, Phase.BACKFILL, timeout=20)
    assert (told.value.code, told.value.hint, told.value.facts) == ("C200", "mend them", {"rows": 3})


async def test_a_problem_while_somebody_leads_is_waited_out(
    session: Session, conn: Connection, change: Change, leading: Leading
) -> None:
    async with leading(change):
        await changes.problem(conn, change.number, Refused("no").as_json())
        with pytest.raises(TryAgainLater):
            await wait(session, ID, Phase.BACKFILL, timeout=0.3)


async def test_a_change_on_its_way_back_ends_it(
    session: Session, conn: Connection, change: Change, bring: Bring
) -> None:
    change = await bring(change, Event.COMPLETE_EXPAND)
    await changes.set_target(conn, change, None, "back", who="t")
    with pytest.raises(Conflict, match="on its way back"):
        await wait(session, ID, Phase.BACKFILL, timeout=20)


async def test_an_ambiguous_step_ends_it(session: Session, conn: Connection, change: Change, leading: Leading) -> None:
    async with leading(change) as epoch:
        change = await changes.set_state(conn, change, Event.BEGIN_EXPAND, epoch, who="t")
        await journal.start(conn, change.number, 1, epoch)
        await journal.ambiguous(conn, change.number, 1, epoch, {"message": "reply lost"})
    with pytest.raises(OutcomeUnknown) as told:
        await wait(session, ID, Phase.EXPAND, timeout=20)
    assert "osc resolve" in told.value.hint


async def test_at_the_timeout_it_says_what_to_run(
    session: Session, conn: Connection, change: Change, reports: list[Report]
) -> None:
    await changes.set_target(conn, change, Phase.BACKFILL, "forward", who="t")
    with pytest.raises(TryAgainLater) as over:
        await wait(session, ID, Phase.BACKFILL, timeout=0.3)
    assert f"osc advance {ID} --to backfill" in over.value.hint
    assert [report.message for report in reports] == [
        f"nobody leads it; run: osc advance {ID} --to backfill   (or osc worker)"
    ]


async def test_a_pause_is_waited_out_and_told_once(
    session: Session, conn: Connection, change: Change, reports: list[Report]
) -> None:
    await pauses.pause(conn, "*", who="sre", reason="night")
    with pytest.raises(TryAgainLater) as over:
        await wait(session, ID, Phase.EXPAND, timeout=0.4)
    assert "osc resume --all" in over.value.hint
    assert [report.message for report in reports] == ["paused by sre: night"]


async def test_an_unknown_change_is_refused(session: Session) -> None:
    with pytest.raises(OscError) as refused:
        await wait(session, "00009_none", Phase.EXPAND, timeout=1)
    assert refused.value.exit_code == 5
