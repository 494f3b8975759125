"""I22: under its own lock the switch looks again at what backfill built; what changed since the check at the door refuses it."""

from __future__ import annotations

import pytest

from tests.acceptance.bench import Bench
from tests.acceptance.test_drift import DISABLE, DROP, trigger_sql

REFUSED = 3
CHANGED = {
    "the trigger is off": (DISABLE, "sync trigger"),
    "the trigger is gone": (DROP, "sync trigger"),
    "the trigger only fires for the origin": (trigger_sql("ALTER TABLE items ENABLE TRIGGER %I"), "sync trigger"),
    "its function was replaced": (
        (
            "DO $$ BEGIN EXECUTE (SELECT format('CREATE OR REPLACE FUNCTION %s RETURNS trigger LANGUAGE plpgsql AS "
            "''BEGIN RETURN NEW; END''', tgfoid::regprocedure) FROM pg_trigger WHERE tgname LIKE '~osc%'); END $$"
        ),
        "sync trigger",
    ),
    "an index is gone": ("DROP INDEX items_by_quantity", "items_by_quantity"),
    "an index is not valid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'items_by_quantity'::regclass",
        "items_by_quantity",
    ),
    "a constraint is gone": (
        (
            "DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE items DROP CONSTRAINT %I', conname) FROM pg_constraint"
            " WHERE conrelid = 'items'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%quantity%'); END $$"
        ),
        "constraint",
    ),
    "the new column may be NULL again": ("ALTER TABLE items ALTER quantity DROP NOT NULL", "quantity"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_changes_between_the_door_and_the_lock_refuses_the_switch(bench: Bench, what: str) -> None:
    statement, named = CHANGED[what]
    assert bench.run("apply", to="backfill").exit_code == 0
    rules = "SELECT attname::text, attnotnull FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0"
    switching = bench.command("advance", "transaction.before=stop", to="switch")
    bench.until_stopped(switching)
    bench.do(statement)
    before = bench.look(rules)
    switching.go_on()
    ended = switching.wait()
    assert (ended.exit_code, named in ended.message) == (REFUSED, True), ended
    assert bench.look(rules) == before, "nothing of the switch happened"
    assert bench.value("SELECT count(*) FROM osc.step WHERE step LIKE 'switch%' AND state = 'done'") == 0
