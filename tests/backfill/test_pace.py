"""What an operator sets is felt by a fill that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from osc.pg.target import Target
from osc.state import changes, settings
from osc.verbs.apply import apply
from osc.verbs.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from osc.executor.reports import Report
    from tests.fixtures.postgres import Connect

PLAN = """\
osc: 1
operations:
  - change_column: {table: items, column: amount, to: total, type: bigint}
backfill: {speed: 1%, batch_target: 50ms}
"""


@pytest.mark.anyio
async def test_a_knob_turned_while_the_fill_runs_overrides_the_pace_of_the_plan(
    dsn: str, connect: Connect, tmp_path: Path
) -> None:
    connect().execute("CREATE TABLE items AS SELECT n AS id, n AS amount FROM generate_series(1, 60000) AS n")
    connect().execute("ALTER TABLE items ADD PRIMARY KEY (id)")
    plan = tmp_path / "00001_pace.yaml"
    plan.write_text(PLAN)
    batches: list[int] = []
    filling = anyio.Event()

    def listen(report: Report) -> None:
        if report.kind == "progress" and report.done:
            batches.append(report.done)
            filling.set()

    session = Session(Target.resolve(dsn), listener=listen)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: apply(session, plan))
            await filling.wait()  # at 1 % of the time the whole table would take minutes
            async with session.state("test:knob") as conn:
                change = await changes.find(conn, "00001_pace")
                assert change is not None
                assert change.pacing == {"speed": 0.01, "batch_target_ms": 50}
                await settings.set_knob(conn, "change:00001_pace", "speed", "1.0", ttl_s=None, who="me")
    async with session.state("test:look") as conn:
        done = await changes.find(conn, "00001_pace")
        assert done is not None
        assert done.state == "backfilled"
