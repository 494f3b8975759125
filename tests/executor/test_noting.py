"""How far a step is, is written down while it runs: status shows it from the database, whoever asks and wherever."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest

from osc.executor.long import _amount
from osc.pg.activity import IndexProgress
from osc.pg.target import Target
from osc.settings import DEFAULTS
from osc.verbs.apply import apply
from osc.verbs.session import Session
from osc.verbs.set_knob import set_knob
from osc.verbs.status import status
from tests.throttle.test_throttle import ID, WAITING, table, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from osc.verbs.standing import Progress

pytestmark = pytest.mark.anyio
NOTED = "SELECT (progress->>'rate')::float8 > 0 FROM osc.step WHERE kind = '{kind}' AND state = 'started'"


@asynccontextmanager
async def applying(dsn: str, plan: Path, **settings: int) -> AsyncIterator[Session]:
    """Apply the plan beside the block, and leave it when the block ends."""
    session = Session(Target.resolve(dsn), settings=replace(DEFAULTS, progress_noted_s=0.05, **settings))
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: apply(session, plan))
        yield session
        group.cancel_scope.cancel()


async def shown(session: Session) -> Progress:
    progress = (await status(session, ID)).changes[0].progress
    assert progress is not None
    return progress


async def test_a_fill_that_rests_shows_its_progress_but_no_time_left(dsn: str, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    plan = table(dsn, tmp_path, f"speed: 5%, batch_target: 10ms, pause_when: [{{file: {flag}}}]", 120_000)
    async with applying(dsn, plan) as session:
        await until(dsn, NOTED.format(kind="fill"))
        goes = await shown(session)
        assert goes.rate
        assert goes.eta_s
        flag.touch()
        await until(dsn, WAITING)
        rests = await shown(session)
        assert 0 < goes.done <= rests.done
        assert (rests.rate, rests.eta_s) == (None, None)
        flag.unlink()
        await set_knob(session, ID, "speed", "100%")


async def test_a_verification_shows_how_many_rows_it_has_looked_at(dsn: str, tmp_path: Path) -> None:
    plan = table(dsn, tmp_path, "", 20_000)
    async with applying(dsn, plan, verify_rows=1) as session:
        await until(dsn, NOTED.format(kind="verify"))
        now = await shown(session)
        assert 0 < now.done < 20_000
        assert now.rate
        assert now.total


async def test_an_index_build_shows_its_phase_and_whom_it_waits_for(dsn: str, tmp_path: Path) -> None:
    plan = table(dsn, tmp_path, "", 100)
    plan.write_text(
        "osc: 1\noperations:\n  - create_index: {table: items, name: items_amount_idx, columns: [amount]}\n"
    )
    with psycopg.connect(dsn, application_name="app") as app:
        app.execute("UPDATE items SET amount = 1 WHERE id = 1")
        async with applying(dsn, plan) as session:
            await until(dsn, "SELECT progress->>'phase' <> 'initializing' FROM osc.step WHERE state = 'started'")
            assert (await shown(session)).phase == "waiting for writers before build"
            now = (await status(session, ID)).changes[0]
            assert [one["pid"] for one in now.blockers] == [app.info.backend_pid]
            app.rollback()
            await until(dsn, "SELECT bool_and(state = 'done') FROM osc.step WHERE kind = 'index'")


@pytest.mark.parametrize(
    ("blocks", "tuples", "amount"),
    [((4, 9), (1, 2), ("blocks", 4, 9)), ((0, 0), (1, 2), ("rows", 1, 2)), ((0, 0), (0, 0), ("", None, None))],
)
def test_a_phase_counts_what_it_reads(
    blocks: tuple[int, int], tuples: tuple[int, int], amount: tuple[str, int | None, int | None]
) -> None:
    told = IndexProgress(
        pid=1, phase="p", command="c", index_oid=1, lockers_total=0, lockers_done=0, current_locker_pid=None,
        blocks_done=blocks[0], blocks_total=blocks[1], tuples_done=tuples[0], tuples_total=tuples[1],
    )  # fmt: skip
    assert _amount(told) == amount
