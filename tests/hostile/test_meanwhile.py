"""F42, F43, F65, F69, F72, F73: people change the tables while a change is under way, in the middle of a fill and in each phase.

What touches the plan stops it within a batch or at the next phase, exit 5, listed; put back, it goes on and nothing is
lost. What only takes time is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import Drift, Refused
from osc.program import Phase
from tests.acceptance.bench import ROWS
from tests.acceptance.test_drift import DISABLE, ENABLE
from tests.fixtures.sweeping import daily
from tests.hostile.sweep import sample

if TYPE_CHECKING:
    from tests.acceptance.bench import Bench

pytestmark = pytest.mark.anyio

FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'touched'; RETURN NEW; END$$"
OURS = "(SELECT oid::regprocedure FROM pg_proc WHERE proname LIKE 'osc\\_sync%')"
REPLACE = (
    "DO $do$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql "
    f"AS $$BEGIN RETURN NEW; END$$', {OURS}); END $do$"
)

# What somebody does, how it is put back ("" where it need not or cannot be), and the word that the list must hold.
Case = tuple[list[str], list[str], str]
WITHIN_A_BATCH: dict[str, Case] = {
    "old column renamed": (
        ["ALTER TABLE items RENAME qty TO amount"],
        ["ALTER TABLE items RENAME amount TO qty"],
        "column qty",
    ),
    "new column renamed": (
        ["ALTER TABLE items RENAME quantity TO amount"],
        ["ALTER TABLE items RENAME amount TO quantity"],
        "column quantity",
    ),
    "key renamed": (["ALTER TABLE items RENAME id TO key"], ["ALTER TABLE items RENAME key TO id"], "column id"),
    "key of another type": (
        ["ALTER TABLE items ALTER id TYPE text"],
        ["ALTER TABLE items ALTER id TYPE bigint USING id::bigint"],
        "column id",
    ),
    "table renamed": (["ALTER TABLE items RENAME TO things"], ["ALTER TABLE things RENAME TO items"], "items table"),
    "table moved": (
        ["CREATE SCHEMA app", "ALTER TABLE items SET SCHEMA app"],
        ["ALTER TABLE app.items SET SCHEMA public"],
        "items table",
    ),
    "trigger disabled": ([DISABLE], [ENABLE], "enabled"),
    "trigger not for replicas": ([DISABLE.replace("DISABLE", "ENABLE")], [ENABLE], "enabled"),
    "all triggers disabled": (
        ["ALTER TABLE items DISABLE TRIGGER ALL"],
        ["ALTER TABLE items ENABLE TRIGGER ALL", ENABLE],
        "enabled",
    ),
    "our function replaced": ([REPLACE], [], "function hash"),
    "a BEFORE trigger": (
        [FUNCTION, "CREATE TRIGGER bef BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION f()"],
        ["DROP FUNCTION f CASCADE"],
        "trigger bef",
    ),
    "an AFTER trigger": (
        [FUNCTION, "CREATE TRIGGER aft AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION f()"],
        ["DROP FUNCTION f CASCADE"],
        "trigger aft",
    ),
    "a statement trigger": (
        [FUNCTION, "CREATE TRIGGER stm AFTER UPDATE ON items EXECUTE FUNCTION f()"],
        ["DROP FUNCTION f CASCADE"],
        "trigger stm",
    ),
    "a rule": (["CREATE RULE r AS ON UPDATE TO items DO INSTEAD NOTHING"], ["DROP RULE r ON items"], "rule r"),
    "a publication without identity": (
        ["ALTER TABLE items REPLICA IDENTITY NOTHING", "CREATE PUBLICATION p FOR TABLE items"],
        ["DROP PUBLICATION p"],
        "publication p",
    ),
}
AT_THE_NEXT_PHASE: dict[str, Case] = {
    "default of the old column": (
        ["ALTER TABLE items ALTER qty SET DEFAULT 5"],
        ["ALTER TABLE items ALTER qty DROP DEFAULT"],
        "default",
    ),
    "NOT NULL dropped": (
        ["ALTER TABLE items ALTER qty DROP NOT NULL"],
        ["ALTER TABLE items ALTER qty SET NOT NULL"],
        "NOT NULL",
    ),
    "key dropped": (
        ["ALTER TABLE items DROP CONSTRAINT items_pkey"],
        ["ALTER TABLE items ADD PRIMARY KEY (id)"],
        "usable unique key",
    ),
    "index dropped": (
        ["DROP INDEX items_qty_idx"],
        ["CREATE INDEX items_qty_idx ON items (qty)"],
        "index items_qty_idx",
    ),
    "row security": (
        ["ALTER TABLE items ENABLE ROW LEVEL SECURITY", "ALTER TABLE items FORCE ROW LEVEL SECURITY"],
        ["ALTER TABLE items DISABLE ROW LEVEL SECURITY", "ALTER TABLE items NO FORCE ROW LEVEL SECURITY"],
        "row security",
    ),
    "child": (["CREATE TABLE child () INHERITS (items)"], ["DROP TABLE child"], "children"),
    "attached": (
        [
            "CREATE TABLE parent (id bigint, qty int NOT NULL, note text, quantity bigint) PARTITION BY RANGE (id)",
            "ALTER TABLE parent ATTACH PARTITION items FOR VALUES FROM (0) TO (100000)",
        ],
        ["ALTER TABLE parent DETACH PARTITION items"],
        "partition",
    ),
    "inherits": (
        ["CREATE TABLE parent (id bigint NOT NULL, qty int NOT NULL)", "ALTER TABLE items INHERIT parent"],
        ["ALTER TABLE items NO INHERIT parent"],
        "parents",
    ),
    "unlogged": (["ALTER TABLE items SET UNLOGGED"], ["ALTER TABLE items SET LOGGED"], "persistence"),
}
WAITED_FOR = {
    "truncated": "TRUNCATE items",
    "rewritten": "VACUUM FULL items",
    "clustered": "CLUSTER items USING items_pkey",
    "given away": "ALTER TABLE items OWNER TO pg_monitor",
    "other index": "CREATE INDEX ON items (id, id)",
    "other column": "ALTER TABLE items ADD extra text DEFAULT 'x'",
    "granted": "GRANT SELECT ON items TO PUBLIC",
    "vacuumed": "VACUUM (FREEZE, ANALYZE) items",
}
WITH_OUR_TRIGGER = ("trigger disabled", "trigger not for replicas", "all triggers disabled")
STOPS = {**WITHIN_A_BATCH, **AT_THE_NEXT_PHASE}


def meanwhile(bench: Bench, statements: list[str]) -> tuple[int, str]:
    """Let somebody do it in the middle of the fill; return how the command ended."""
    command = bench.command("apply", "batch.before=sleep:0.25@3", to="contract")
    bench.until("SELECT sum(batches) >= 2 FROM osc.slice")
    bench.do(*statements)
    ended = command.wait()
    return ended.exit_code, ended.message


@pytest.mark.parametrize(
    "what",
    sample(
        STOPS,
        ("old column renamed", "table moved", "our function replaced", "a BEFORE trigger", "key dropped", "attached"),
    ),
)
async def test_in_the_middle_of_a_fill_it_stops_and_once_put_back_it_arrives(bench: Bench, what: str) -> None:
    done, put_back, listed = STOPS[what]
    notes = bench.look("SELECT id, qty, note FROM items ORDER BY id")
    code, message = meanwhile(bench, done)
    assert code == Drift.exit_code, message
    assert listed in message
    if what in WITHIN_A_BATCH:
        assert bench.value("SELECT sum(batches) FROM osc.slice") <= 3
    if what == "our function replaced":
        return  # nobody has its text but osc: only the way back is left, see below
    bench.do(*put_back)
    await bench.advance(Phase.CONTRACT)
    assert bench.look("SELECT id, quantity, note FROM items ORDER BY id") == notes


@pytest.mark.parametrize("what", sample(STOPS, ("our function replaced", "key of another type", "child")))
async def test_in_the_middle_of_a_fill_there_is_a_way_back(bench: Bench, what: str) -> None:
    """What keeps undoing from its work is drift as well, never a mere error of the server's; then it goes back."""
    before, rows = bench.schema, bench.look("SELECT id, qty, note FROM items ORDER BY id")
    done, put_back, _ = STOPS[what]
    meanwhile(bench, done)
    ended = bench.run("rollback")
    assert ended.exit_code in (0, Drift.exit_code), ended
    if ended.exit_code or what not in WITH_OUR_TRIGGER:
        bench.do(*put_back)
    if ended.exit_code:
        await bench.rollback()
    assert bench.state == "rolled_back"
    assert bench.look("SELECT id, qty, note FROM items ORDER BY id") == rows
    if what != "key of another type" and not any("CREATE" in one or "TRIGGER ALL" in one for one in done):
        assert sorted(bench.schema.splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize("what", sample(WAITED_FOR, ("truncated", "rewritten", "given away")))
async def test_what_does_not_touch_the_plan_is_no_reason_to_stop(bench: Bench, what: str) -> None:
    code, message = meanwhile(bench, [WAITED_FOR[what]])
    assert (code, bench.state) == (0, "done"), message
    assert bench.value("SELECT count(*) FROM items WHERE quantity = id % 7") == (0 if what == "truncated" else ROWS)


PHASES = [Phase.EXPAND, Phase.DUAL_WRITE, Phase.BACKFILL, Phase.SWITCH]
IN_PHASES = {
    f"{what} behind {phase}": (what, phase)
    for what in STOPS
    for phase in PHASES
    # There is no trigger behind expand, nobody but osc has the text of its function, and after the switch NOT NULL is gone.
    if what != "our function replaced"
    and not (phase is Phase.EXPAND and what in WITH_OUR_TRIGGER)
    and not (phase is Phase.SWITCH and what in ("NOT NULL dropped", "attached", "inherits"))
}
CHOSEN = (
    "key dropped behind switch",
    "a rule behind backfill",
    "child behind dual_write",
    "trigger disabled behind switch",
    "table renamed behind backfill",
    "a BEFORE trigger behind expand",
    "row security behind switch",
)


@pytest.mark.parametrize("where", daily(sample(IN_PHASES, CHOSEN), 2))
async def test_behind_each_phase_it_stops_the_next_and_once_put_back_it_arrives(bench: Bench, where: str) -> None:
    what, phase = IN_PHASES[where]
    done, put_back, listed = STOPS[what]
    await bench.apply(phase)
    resting = bench.state
    bench.do(*done)
    with pytest.raises(Drift) as drift:
        await bench.advance(Phase.CONTRACT)
    assert any(listed in line for line in drift.value.facts["differences"])
    assert bench.state == resting
    bench.do(*put_back)
    await bench.advance(Phase.CONTRACT)
    assert bench.value("SELECT count(*) FROM items WHERE quantity = id % 7") == ROWS


READERS = {
    "view": ("CREATE VIEW v AS SELECT qty FROM items", "DROP VIEW v"),
    "materialized view": ("CREATE MATERIALIZED VIEW v AS SELECT qty FROM items", "DROP MATERIALIZED VIEW v"),
    "generated column": (
        "ALTER TABLE items ADD g int GENERATED ALWAYS AS (qty + 1) STORED",
        "ALTER TABLE items DROP g",
    ),
    "policy": ("CREATE POLICY p ON items USING (qty > 0)", "DROP POLICY p ON items"),
    "function": (
        "CREATE FUNCTION reads() RETURNS bigint BEGIN ATOMIC SELECT sum(qty) FROM items; END",
        "DROP FUNCTION reads",
    ),
    "statistics": ("CREATE STATISTICS s ON qty, note FROM items", "DROP STATISTICS s"),
}


@pytest.mark.parametrize("kind", sample(READERS, ("view", "generated column")))
async def test_who_began_to_read_the_old_column_is_found_before_the_way_back_is_closed(bench: Bench, kind: str) -> None:
    reads, away = READERS[kind]
    await bench.apply(Phase.BACKFILL)
    bench.do(reads)
    with pytest.raises(Drift, match=kind):
        await bench.advance(Phase.CONTRACT)
    assert bench.state == "retired"
    await bench.rollback(Phase.BACKFILL)
    bench.do(away)
    await bench.advance(Phase.CONTRACT)
    assert bench.state == "done"


async def test_a_table_that_was_dropped_leaves_nothing_to_undo(bench: Bench) -> None:
    await bench.apply(Phase.BACKFILL)
    bench.do("DROP TABLE items")
    with pytest.raises(Drift, match="found nothing"):
        await bench.advance(Phase.SWITCH)
    await bench.rollback()
    assert bench.state == "rolled_back"
    assert bench.look("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == []


async def test_the_way_back_never_touches_another_table_of_the_same_name(bench: Bench) -> None:
    await bench.apply(Phase.EXPAND)
    bench.do("ALTER TABLE items RENAME TO things", "CREATE TABLE items (LIKE things INCLUDING ALL)")
    with pytest.raises(Drift, match=r"found public\.things"):
        await bench.rollback()
    assert (
        bench.value("SELECT count(*) FROM pg_attribute WHERE attname = 'quantity' AND attrelid = 'items'::regclass")
        == 1
    )
    bench.do("DROP TABLE items", "ALTER TABLE things RENAME TO items")
    await bench.rollback()
    assert bench.state == "rolled_back"


async def test_a_trigger_that_is_gone_does_not_close_the_way_back(bench: Bench) -> None:
    before = bench.schema
    await bench.apply(Phase.DUAL_WRITE)
    bench.do(DISABLE.replace("ALTER TABLE items DISABLE TRIGGER %I", "DROP TRIGGER %I ON items"))
    await bench.rollback()
    assert bench.schema == before


NORM = "CREATE OR REPLACE FUNCTION public.norm(int) RETURNS bigint LANGUAGE sql IMMUTABLE {}"
NORM_PLAN = """\
osc: 1
title: Quantities are normal
owner: stock-team
operations:
  - change_column: {table: items, column: qty, to: quantity, type: bigint, up: public.norm(qty), down: 'quantity::int'}
backfill: {require: [{ack: writers-comply}]}
"""


@pytest.mark.parametrize(
    ("what", "phase"),
    daily(
        [(what, phase) for what in ("replaced", "dropped") for phase in (Phase.EXPAND, Phase.BACKFILL, Phase.SWITCH)], 2
    ),
)
async def test_a_function_of_the_plan_that_does_something_else_is_drift(bench: Bench, phase: Phase, what: str) -> None:
    """F65: the rows filled before it would have other values than those after it."""
    if phase is not Phase.BACKFILL and what == "dropped":
        return
    bench.plan_text = NORM_PLAN
    bench.do(NORM.format("RETURN $1"))
    await bench.apply(Phase.EXPAND)
    await bench.ack("writers-comply")
    await bench.advance(phase)
    bench.do(NORM.format("RETURN $1 + 1") if what == "replaced" else "DROP FUNCTION public.norm")
    with pytest.raises(Drift, match=r"function public.norm\(integer\)"):
        await bench.advance(Phase.CONTRACT)
    bench.do(NORM.format("RETURN  $1"))
    await bench.advance(Phase.CONTRACT)
    assert bench.value("SELECT count(*) FROM items WHERE quantity = id % 7") == ROWS


async def test_a_function_that_lies_about_being_immutable_is_found_by_verification(bench: Bench) -> None:
    bench.plan_text = NORM_PLAN
    bench.do("CREATE SEQUENCE public.drawn", NORM.format("RETURN $1 + nextval('public.drawn')"))
    await bench.apply(Phase.EXPAND)
    await bench.ack("writers-comply")
    with pytest.raises(Refused, match="not in step"):
        await bench.advance(Phase.BACKFILL)
    assert bench.look("SELECT qty FROM items WHERE qty <> id % 7") == []
