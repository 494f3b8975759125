"""--accept-drift: what others changed meanwhile is taken into the phases not yet begun, or refused with nothing changed."""

from __future__ import annotations

import pytest

from osc.errors import Conflict, Drift, GateClosed, Refused
from osc.program import Phase
from osc.verbs.apply import apply
from tests.acceptance.bench import Bench
from tests.acceptance.test_drift import DROP

pytestmark = [pytest.mark.anyio, pytest.mark.either_version]


async def accept(bench: Bench, to: Phase) -> None:
    await apply(bench.session(), bench.plan, to=to, accept_drift=True)


@pytest.mark.parametrize("begun", [None, Phase.EXPAND, Phase.DUAL_WRITE])
async def test_an_index_that_somebody_added_gets_its_twin(bench: Bench, begun: Phase | None) -> None:
    await (bench.apply(begun) if begun else apply(bench.session(), bench.plan, to=Phase.EXPAND, detach=True))
    bench.do("CREATE INDEX items_qty_desc ON items (qty DESC)")
    with pytest.raises(Drift):
        await bench.advance(Phase.BACKFILL)
    await accept(bench, Phase.CONTRACT)
    assert bench.value("SELECT revision FROM osc.change") == 2
    assert bench.value("SELECT pg_get_indexdef('items_quantity_desc'::regclass)").endswith("(quantity DESC)")
    assert (bench.state, bench.leftovers()) == ("done", [])


async def test_the_way_back_from_accepted_drift_keeps_what_somebody_added(bench: Bench) -> None:
    await bench.apply(Phase.DUAL_WRITE)
    bench.do("CREATE INDEX items_qty_desc ON items (qty DESC)")
    await accept(bench, Phase.SWITCH)
    await bench.rollback()
    assert "CREATE INDEX items_qty_desc" in bench.schema
    assert "quantity" not in bench.schema


@pytest.mark.parametrize(
    "statement", [DROP, "ALTER TABLE items ALTER qty TYPE numeric", "ALTER TABLE items DROP quantity"]
)
async def test_what_begun_phases_made_cannot_be_accepted_otherwise(bench: Bench, statement: str) -> None:
    await bench.apply(Phase.DUAL_WRITE)
    bench.do(statement)
    schema, steps = bench.schema, bench.steps
    with pytest.raises((Conflict, Refused)):
        await accept(bench, Phase.BACKFILL)
    assert (bench.schema, bench.steps) == (schema, steps)
    assert bench.value("SELECT revision FROM osc.change") == 1


async def test_without_drift_there_is_nothing_to_accept(bench: Bench) -> None:
    await bench.apply(Phase.DUAL_WRITE)
    await accept(bench, Phase.BACKFILL)
    assert bench.value("SELECT revision FROM osc.change") == 1


async def test_an_approval_of_the_program_that_was_lapses_with_it(bench: Bench) -> None:
    """B65: who approved has not seen what would run now; an ack is about the application and stands."""
    bench.plan_text += "switch:\n  require: [{approval: dba}]\nbackfill:\n  require: [{ack: told}]\n"
    await bench.apply(Phase.DUAL_WRITE)
    await bench.ack("dba")
    await bench.ack("told")
    bench.do("CREATE INDEX items_qty_desc ON items (qty DESC)")
    with pytest.raises(GateClosed, match="dba"):
        await accept(bench, Phase.SWITCH)
    assert (bench.state, bench.value("SELECT revision FROM osc.change")) == ("backfilled", 2)
    await bench.ack("dba")
    await bench.advance(Phase.SWITCH)
    assert bench.state == "switched"
