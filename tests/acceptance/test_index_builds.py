"""F32 to F34, I28: builds that fail, are cancelled or killed leave one valid index or none, and never touch a stranger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osc.errors import Refused
from osc.program import Phase
from tests.acceptance.bench import UNIQUE_PLAN, Bench

pytestmark = [pytest.mark.anyio, pytest.mark.either_version]

BUILDING = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX CONCURRENTLY%' AND state = 'active'"
)


async def test_duplicates_are_named_and_the_carcass_is_gone(bench: Bench) -> None:
    bench.plan_text = UNIQUE_PLAN
    await bench.apply(Phase.DUAL_WRITE)
    bench.do("INSERT INTO items VALUES (9001, 5, 'twin'), (9002, 5, 'twin')")
    await bench.ack("writers-comply")
    with pytest.raises(Refused, match="twin"):
        await bench.advance(Phase.BACKFILL)
    assert bench.leftovers() == []
    assert bench.problem is not None
    assert bench.problem["exit_code"] == 3
    bench.do("DELETE FROM items WHERE id = 9002")
    await bench.advance(Phase.BACKFILL)
    assert bench.value(
        "SELECT indisunique AND indisvalid FROM pg_index WHERE indexrelid = 'items_by_quantity'::regclass"
    )


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_build_that_is_cancelled_or_whose_session_ends_is_built_once(
    bench: Bench, undisturbed: Callable[..., Any], function: str
) -> None:
    with bench.holding("SELECT 1", isolation="REPEATABLE READ") as snapshot:
        command = bench.command("apply", to="backfill")
        bench.until(BUILDING)
        bench.until("SELECT count(*) > 0 FROM pg_index WHERE NOT indisvalid")
        bench.do(f"SELECT {function}(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX CONCURRENTLY%'")
        snapshot.rollback()
    assert command.wait().exit_code == 0
    assert bench.leftovers() == []
    assert bench.end() == undisturbed("backfill")


async def test_a_build_whose_process_is_killed_leaves_nothing_to_the_next(
    bench: Bench, undisturbed: Callable[..., Any]
) -> None:
    """The orphan is still building when its successor begins: it is ended, its carcass dropped (F03)."""
    with bench.holding("SELECT 1", isolation="REPEATABLE READ") as snapshot:
        command = bench.command("apply", to="backfill")
        bench.until("SELECT count(*) > 0 FROM pg_index WHERE NOT indisvalid")
        command.kill()
        command.wait()
        bench.lease_runs_out()
        successor = bench.command("advance")
        successor.until_it_says("waits for")
        snapshot.rollback()
    assert successor.wait().exit_code == 0
    assert bench.leftovers() == []
    assert bench.end() == undisturbed("backfill")


@pytest.mark.parametrize("valid", [True, False])
async def test_a_strangers_index_of_the_wanted_name_is_not_touched(bench: Bench, valid: bool) -> None:
    await bench.apply(Phase.DUAL_WRITE)
    bench.do("CREATE TABLE others (note text)", "CREATE INDEX items_by_quantity ON others (note)")
    if not valid:
        bench.do("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'items_by_quantity'::regclass")
    before = bench.look("SELECT i::text FROM pg_index AS i WHERE indexrelid = 'items_by_quantity'::regclass")
    with pytest.raises(Refused, match="not ours"):
        await bench.advance(Phase.BACKFILL)
    assert bench.look("SELECT i::text FROM pg_index AS i WHERE indexrelid = 'items_by_quantity'::regclass") == before
    bench.do("DROP TABLE others")
    await bench.advance(Phase.BACKFILL)
    assert bench.leftovers() == []


async def test_a_held_snapshot_delays_the_build_and_is_told(bench: Bench, undisturbed: Callable[..., Any]) -> None:
    with bench.holding("SELECT 1", isolation="REPEATABLE READ", application="report") as snapshot:
        command = bench.command("apply", to="backfill")
        told = command.until_it_says("waits for")
        assert f"pid {snapshot.info.backend_pid} report" in told["message"]
        detail = bench.until("SELECT detail FROM osc.step WHERE waiting = 'lock'")
        assert detail["blockers"][0]["pid"] == snapshot.info.backend_pid
        snapshot.rollback()
    assert command.wait().exit_code == 0
    assert bench.end() == undisturbed("backfill")


async def test_the_wish_to_go_back_ends_a_build(bench: Bench) -> None:
    schema = bench.schema
    with bench.holding("SELECT 1", isolation="REPEATABLE READ") as snapshot:
        command = bench.command("apply", to="backfill")
        bench.until("SELECT count(*) > 0 FROM pg_index WHERE NOT indisvalid")
        back = bench.command("rollback")
        bench.until(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX CONCURRENTLY%' AND state = 'active'"
        )
        snapshot.rollback()
    assert (back.wait().exit_code, command.wait().exit_code) == (0, 5)
    assert (bench.schema, bench.leftovers()) == (schema, [])


async def test_losing_the_lead_ends_a_build(bench: Bench) -> None:
    with bench.holding("SELECT 1", isolation="REPEATABLE READ"):
        command = bench.command("apply", to="backfill")
        bench.until(BUILDING)
        bench.take_the_lead()
        assert command.wait().exit_code == 75
        bench.until(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX CONCURRENTLY%' AND state = 'active'"
        )


async def test_indexes_of_the_old_column_are_dropped_concurrently(bench: Bench) -> None:
    await bench.apply(Phase.SWITCH)
    with bench.holding("SELECT 1 FROM items WHERE id = 1") as reader:
        command = bench.command("advance", "drop_index.before=sleep:0.5", to="contract")
        bench.until("SELECT count(*) > 0 FROM osc.step WHERE waiting = 'lock'")
        reader.rollback()
        bench.until("SELECT count(*) > 0 FROM pg_class WHERE relname LIKE 'osc\\_ix\\_%\\_dead%'")
    assert command.wait().exit_code == 0
    assert bench.value("SELECT count(*) FROM pg_class WHERE relname = 'items_qty_idx'") == 0
    assert bench.leftovers() == []


async def test_an_index_that_is_dropped_is_set_aside_first_so_a_stranger_may_have_its_name(bench: Bench) -> None:
    """What is dropped has a name that nobody else has: a drop by the old name could hit another's index (I28)."""
    await bench.apply(Phase.SWITCH)
    command = bench.command("advance", "drop_index.before=stop", to="contract")
    bench.until_stopped(command)
    bench.do("CREATE INDEX items_qty_idx ON items (note)")
    command.go_on()
    assert command.wait().exit_code == 0
    assert bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_qty_idx'::regclass")
    assert bench.leftovers() == []


async def test_the_way_back_drops_the_index_that_was_made_and_no_strangers(bench: Bench) -> None:
    await bench.apply(Phase.BACKFILL)
    bench.do("DROP INDEX items_by_quantity", "CREATE INDEX items_by_quantity ON items (note)")
    await bench.rollback(Phase.DUAL_WRITE)
    assert bench.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_by_quantity'::regclass")
    assert bench.state == "dual_write"
