"""I18: what nobody knows is left alone until a person has looked."""

from __future__ import annotations

import pytest

from osc.errors import OutcomeUnknown
from osc.program import Phase
from osc.verbs.resolve import resolve
from tests.acceptance.bench import ID, Bench

pytestmark = pytest.mark.anyio

STEP = "SELECT step FROM osc.step WHERE phase = 'dual_write' AND kind = 'ddl' ORDER BY ordinal LIMIT 1"


@pytest.mark.parametrize("happened", [False, True])
async def test_forward_and_back_stop_before_an_ambiguous_step_until_it_is_resolved(
    bench: Bench, happened: bool
) -> None:
    # Killed behind the phase's last step, or before its first transaction.
    assert bench.killed("apply", "state.before=kill9@4" if happened else "transaction.before=kill9@2", to="dual_write")
    assert bench.state == "entering_dual_write"
    step = str(bench.value(STEP))
    bench.do(f"UPDATE osc.step SET state = 'ambiguous', was = 'started', done_at = NULL WHERE step = '{step}'")
    with pytest.raises(OutcomeUnknown):
        await bench.advance(Phase.BACKFILL)
    with pytest.raises(OutcomeUnknown):
        await bench.rollback()
    assert bench.steps[step] == "ambiguous"
    await resolve(bench.session(), ID, step, happened=happened, reason="looked at \\d items")
    await bench.rollback()
    assert bench.state == "rolled_back"
    assert bench.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '~osc%'") == 0
