"""F28, B71: state that was edited by hand is refused with what is wrong, and nothing is guessed or changed."""

from __future__ import annotations

import pytest

from osc.state.refusals import DamagedState
from tests.acceptance.bench import Bench

pytestmark = pytest.mark.anyio

STEP = "(SELECT step FROM osc.step WHERE kind = 'fill' ORDER BY ordinal LIMIT 1)"
DAMAGES = {
    "S110": "UPDATE osc.change SET plan_hash = 'x'",
    "S111": f"DELETE FROM osc.step WHERE step = {STEP}",
    "S112": "UPDATE osc.step SET epoch = 99 WHERE kind = 'fill'",
    "S113": "UPDATE osc.change SET state = 'backfilled'",
    "S114": "ALTER TABLE osc.event DISABLE TRIGGER ALL; UPDATE osc.event SET who = 'nobody';"
            " ALTER TABLE osc.event ENABLE ALWAYS TRIGGER event_is_append_only",
    "S115": "UPDATE osc.slice SET cursor = '{9999999}'",
    "S115 no key": "UPDATE osc.slice SET cursor = '{nonsense}'",
    "S105": "UPDATE osc.change SET program = jsonb_set(program, '{plan_id}', '\"other\"')",
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
async def test_state_edited_by_hand_is_refused_with_a_code_and_nothing_is_changed(bench: Bench, name: str) -> None:
    assert bench.killed("apply", "batch.before=kill9@3", to="backfill")
    bench.do(DAMAGES[name])
    before = bench.fingerprint()
    with pytest.raises(DamagedState) as refused:
        await bench.advance()
    code = name.partition(" ")[0]
    assert code in {refused.value.code, *(finding.code for finding in refused.value.findings)}
    assert refused.value.exit_code == 5
    assert bench.fingerprint() == before
