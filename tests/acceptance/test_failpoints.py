"""A failpoint that nothing passes proves nothing: one plan, there and back, passes them all."""

from __future__ import annotations

import pytest

from osc.failpoints import POINTS, Failpoints, points
from osc.program import Phase
from tests.acceptance.bench import PLAN, Bench

KEEPING = f"""{PLAN}\
  - set_not_null:
      table: items
      column: note
      fill: none
backfill:
  require: [{{ack: writers-comply}}]
"""
"""A fill that keeps what it overwrites, and forgets it at contract's end."""


@pytest.mark.anyio
@pytest.mark.either_version
async def test_every_failpoint_is_passed_by_a_plan_there_and_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osc.failpoints._points", Failpoints())
    bench.plan_text = KEEPING
    await bench.apply(Phase.DUAL_WRITE)
    await bench.ack("writers-comply")
    await bench.apply(Phase.SWITCH)
    await bench.rollback()
    await bench.apply(Phase.DUAL_WRITE)
    await bench.ack("writers-comply")
    await bench.apply(Phase.CONTRACT)
    assert set(points().hits) == POINTS
