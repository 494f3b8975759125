"""create_index: what is built is what CREATE INDEX would have built, and undoing leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.program import Phase

if TYPE_CHECKING:
    from tests.operations.lab import Lab

T = """
CREATE TABLE t (id integer PRIMARY KEY, a integer, b text, c text[], r int4range);
INSERT INTO t SELECT n, n, 'b' || n, ARRAY['c'], int4range(n, n + 1) FROM generate_series(1, 50) AS n;
"""
WRITERS = "backfill: {require: [{ack: writers-comply}]}"

INDEXES: dict[str, tuple[str, str]] = {
    "plain": ("columns: [a]", "btree (a)"),
    "two columns with orders": (
        "columns: [{column: a, order: desc, nulls: last}, {column: b, order: asc, nulls: first}]",
        "btree (a DESC NULLS LAST, b NULLS FIRST)",
    ),
    "expression": ("columns: [{expression: lower(b)}, a]", "btree (lower(b), a)"),
    "operator class": ("columns: [{column: b, opclass: text_pattern_ops}]", "btree (b text_pattern_ops)"),
    "collation": ("columns: [{column: b, collation: pg_catalog.C}]", 'btree (b COLLATE "C")'),
    "hash": ("columns: [b], method: hash", "hash (b)"),
    "gin": ("columns: [c], method: gin", "gin (c)"),
    "gist": ("columns: [r], method: gist", "gist (r)"),
    "brin": ("columns: [a], method: brin, storage: {pages_per_range: 16}", "brin (a) WITH (pages_per_range='16')"),
    "storage": (("columns: [a], storage: {fillfactor: 70, deduplicate_items: "
                "false}"), "btree (a) WITH (fillfactor='70', deduplicate_items='off')"),
    "partial": ("columns: [a], where: b IS NOT NULL AND a > 3", "btree (a) WHERE b IS NOT NULL AND a > 3"),
    "include": ("columns: [a], include: [b, id]", "btree (a) INCLUDE (b, id)"),
    "unique": ("columns: [a, b], unique: true", "btree (a, b)"),
    "nulls not distinct": ("columns: [a], unique: true, nulls_not_distinct: true", "btree (a) NULLS NOT DISTINCT"),
    "a comment at the end of an expression": ('columns: [{expression: "lower(b) -- small"}]', "btree (lower(b))"),
}  # fmt: skip


def definition(lab: Lab, name: str) -> str:
    text: str = lab.value(f"SELECT replace(pg_get_indexdef('{name}'::regclass), '{name}', 'i')")
    return text


@pytest.mark.parametrize("name", INDEXES)
def test_it_is_the_index_that_was_asked_for(lab: Lab, name: str) -> None:
    said, by_hand = INDEXES[name]
    lab.run(T)
    unique = "UNIQUE " if "unique: true" in said else ""
    lab.write(f"- create_index: {{table: t, name: ours, {said}}}", WRITERS if unique else "")
    lab.apply(Phase.DUAL_WRITE)
    if unique:
        lab.ack("writers-comply")
    lab.apply(Phase.BACKFILL)
    assert lab.drift_behind(Phase.BACKFILL) == []
    lab.run(f"CREATE {unique}INDEX theirs ON t USING {by_hand}")
    assert definition(lab, "ours") == definition(lab, "theirs")


@pytest.mark.either_version
def test_undone_it_is_gone(lab: Lab) -> None:
    lab.run(T)
    lab.write("- create_index: {table: t, name: i, columns: [a]}")
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    assert "CREATE INDEX i " in lab.dump()
    lab.back()
    assert lab.dump() == before


def test_a_unique_index_may_wait_for_contract(lab: Lab) -> None:
    lab.run(T)
    lab.write("- create_index: {table: t, name: i, columns: [a], unique: true, enforce_at: contract}")
    lab.apply(Phase.SWITCH)
    lab.run("INSERT INTO t (id, a) VALUES (90, 90)")
    lab.apply(Phase.CONTRACT)
    with pytest.raises(Exception, match="duplicate key"):
        lab.run("INSERT INTO t (id, a) VALUES (91, 90)")


def test_on_a_column_that_changes_under_its_name_it_is_built_on_the_new_one(lab: Lab) -> None:
    lab.run(T)
    lab.write(
        "- change_column: {table: t, column: a, type: bigint}\n- create_index: {table: t, name: i, columns: "
        "[{column: a, order: desc}, b], include: [id]}\n- create_index: {table: t, name: late, columns: [a], where: "
        "a > 5, unique: true, enforce_at: contract}"
    )
    lab.apply(Phase.BACKFILL)
    assert "osc_new_a" in definition(lab, "i")
    for phase in (Phase.SWITCH, Phase.CONTRACT):
        lab.apply(phase)
        assert lab.drift_behind(phase) == []
    assert definition(lab, "i").endswith("USING btree (a DESC, b) INCLUDE (id)")
    assert definition(lab, "late").endswith("USING btree (a) WHERE (a > 5)")
    assert lab.value("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = 'late'::regclass") == "bigint"
