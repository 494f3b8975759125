"""F42, F43: somebody changes the tables meanwhile; what touches the plan stops it, exit 5, and nothing is changed."""

from __future__ import annotations

import pytest

from osc.errors import Conflict, Drift, Refused
from osc.program import Phase
from tests.acceptance.bench import Bench
from tests.acceptance.processes import ALONG_THE_KEY

pytestmark = pytest.mark.anyio

TRIGGER = "(SELECT tgname FROM pg_trigger WHERE tgname LIKE '~osc%')"
TOUCHING = {
    "the new column was renamed": "ALTER TABLE items RENAME quantity TO amount",
    "the new column was dropped": "ALTER TABLE items DROP quantity",
    "the old column has another type": "ALTER TABLE items ALTER qty TYPE numeric",
    "the table was renamed": "ALTER TABLE items RENAME TO things",
    "the table was made anew": "ALTER TABLE items RENAME TO things; CREATE TABLE items (LIKE things INCLUDING ALL)",
    "an index of the old column is gone": "DROP INDEX items_qty_idx",
    "a check on the old column": "ALTER TABLE items ADD CHECK (qty < 1000)",
}
HARMLESS = {
    "another column": "ALTER TABLE items ADD extra text",
    "an index on another column": "ALTER TABLE items ADD extra text; CREATE INDEX ON items (extra)",
    "statistics": "ANALYZE items",
}


def trigger_sql(what: str) -> str:
    return f"DO $$ BEGIN EXECUTE (SELECT format('{what}', tgname) FROM pg_trigger WHERE tgname LIKE '~osc%'); END $$"


DISABLE = trigger_sql("ALTER TABLE items DISABLE TRIGGER %I")
ENABLE = trigger_sql("ALTER TABLE items ENABLE ALWAYS TRIGGER %I")
DROP = trigger_sql("DROP TRIGGER %I ON items")


@pytest.mark.parametrize("what", TOUCHING)
async def test_what_touches_the_plan_stops_the_next_phase_and_changes_nothing(bench: Bench, what: str) -> None:
    await bench.apply(Phase.EXPAND)
    bench.do(*TOUCHING[what].split("; "))
    schema, steps = bench.schema, bench.steps
    with pytest.raises(Drift) as drift:
        await bench.advance(Phase.BACKFILL)
    assert drift.value.exit_code == 5
    assert drift.value.facts["differences"]
    assert (bench.schema, bench.steps, bench.state) == (schema, steps, "expanded")
    assert bench.problem is not None


@pytest.mark.parametrize("what", HARMLESS)
async def test_what_does_not_touch_the_plan_is_written_down_only(bench: Bench, what: str) -> None:
    await bench.apply(Phase.EXPAND)
    bench.do(*HARMLESS[what].split("; "))
    await bench.advance(Phase.CONTRACT)
    assert bench.state == "done"
    told = bench.look("SELECT data ->> 'differences' FROM osc.event WHERE kind = 'catalog.differs'")
    assert bool(told) is (what != "statistics")


@pytest.mark.parametrize("statement", [DISABLE, DROP], ids=["disabled", "dropped"])
async def test_the_fill_stops_within_a_batch_when_the_trigger_is_off(bench: Bench, statement: str) -> None:
    bench.settings = ALONG_THE_KEY
    command = bench.command("apply", "batch.before=sleep:0.4@3", to="backfill")
    bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    bench.do(statement)
    ended = command.wait()
    assert ended.exit_code == 5
    assert "trigger" in ended.message
    assert bench.value("SELECT sum(batches) FROM osc.slice") <= 3


@pytest.mark.parametrize("statement", [DISABLE, DROP], ids=["disabled", "dropped"])
async def test_a_trigger_that_is_off_between_phases_is_drift(bench: Bench, statement: str) -> None:
    await bench.apply(Phase.BACKFILL)
    bench.do(statement)
    with pytest.raises(Drift, match="trigger"):
        await bench.advance(Phase.SWITCH)
    assert bench.state == "backfilled"


async def test_a_trigger_that_was_off_for_a_moment_makes_the_switch_verify_again(bench: Bench) -> None:
    """Everything looks as before, but a row was written meanwhile (F43)."""
    await bench.apply(Phase.BACKFILL)
    bench.do(DISABLE, "UPDATE items SET qty = 99 WHERE id = 7", ENABLE)
    with pytest.raises(Refused, match="not in step") as refused:
        await bench.advance(Phase.SWITCH)
    assert refused.value.facts["keys"] == [["7"]]
    bench.do("UPDATE items SET qty = 98 WHERE id = 7")
    await bench.advance(Phase.SWITCH)
    assert bench.value("SELECT quantity FROM items WHERE id = 7") == 98


async def test_in_the_middle_of_a_phase_what_a_killed_process_left_is_no_drift(bench: Bench) -> None:
    assert bench.killed("apply", "build.after=kill9", to="backfill")
    assert bench.leftovers() != []
    await bench.advance()
    assert bench.leftovers() == []


async def test_no_way_back_to_the_old_column_while_it_cannot_hold_what_the_new_one_has(bench: Bench) -> None:
    await bench.apply(Phase.SWITCH)
    bench.do("UPDATE items SET quantity = 3000000000 WHERE id = 5")
    with pytest.raises(Refused, match="not in step"):
        await bench.rollback(Phase.BACKFILL)
    assert bench.state == "switched"
    bench.do("UPDATE items SET quantity = 3 WHERE id = 5")
    await bench.rollback()
    assert bench.value("SELECT qty FROM items WHERE id = 5") == 3


async def test_two_plans_for_one_table_do_not_run_at_once(bench: Bench) -> None:
    await bench.apply(Phase.EXPAND)
    other = bench.place / "00002_notes.yaml"
    other.write_text("osc: 1\ntitle: n\noperations:\n  - create_index: {table: items, name: notes, columns: [note]}\n")
    ended = bench.run("apply", path=str(other))
    assert ended.exit_code == Conflict.exit_code
    assert "00001_items" in ended.message
