"""A run without faults: every phase, there and back, leaves what it promises and nothing else."""

from __future__ import annotations

import pytest

from osc.program import Phase
from tests.acceptance.bench import Bench

pytestmark = pytest.mark.either_version


@pytest.mark.anyio
@pytest.mark.parametrize("phase", list(Phase)[:4])
async def test_rollback_from_every_phase_leaves_schema_and_data_as_they_were(bench: Bench, phase: Phase) -> None:
    schema, data = bench.schema, bench.data
    await bench.apply(phase)
    await bench.rollback()
    assert (bench.schema, bench.data, bench.state) == (schema, data, "rolled_back")


@pytest.mark.anyio
async def test_back_to_each_phase_and_forward_again_comes_to_the_same_end(bench: Bench, undisturbed) -> None:  # type: ignore[no-untyped-def]
    await bench.apply(Phase.SWITCH)
    for phase in (Phase.BACKFILL, Phase.DUAL_WRITE, Phase.EXPAND):
        await bench.rollback(phase)
        assert bench.problem is None
    await bench.advance(Phase.CONTRACT)
    assert bench.end() == undisturbed()


@pytest.mark.anyio
async def test_a_plan_that_is_done_is_left_alone_however_often_it_is_applied(bench: Bench, undisturbed) -> None:  # type: ignore[no-untyped-def]
    await bench.apply(Phase.CONTRACT)
    mark = bench.fingerprint()
    for again in (None, Phase.BACKFILL, Phase.CONTRACT):
        await bench.apply(again)
    assert bench.fingerprint() == mark
    assert bench.end() == undisturbed()
