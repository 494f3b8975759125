"""What a Program says of itself: it survives JSON, hashes alike, names its tables and columns, and keeps promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.compiler import compile_plan
from osc.errors import Refused
from osc.program import Phase, Program

if TYPE_CHECKING:
    from tests.operations.lab import Lab

TABLES = """
CREATE SCHEMA app;
CREATE TABLE parent (id integer PRIMARY KEY, code integer);
CREATE TABLE app.child (id integer PRIMARY KEY, parent integer REFERENCES parent, v varchar(10), "Odd Name" integer);
INSERT INTO parent SELECT n, n FROM generate_series(1, 9) AS n;
INSERT INTO app.child SELECT n, n, 'v' FROM generate_series(1, 9) AS n;
"""
PLANS: dict[str, str] = {
    "change": "- change_column: {table: parent, column: code, to: n, type: bigint}",
    "same name": "- change_column: {table: app.child, column: parent, type: bigint}",
    "native": "- change_column: {table: app.child, column: v, type: text}",
    "rename": "- rename_column: {table: app.child, column: Odd Name, to: even}",
    "add": "- add_column: {table: parent, column: x, type: int, default: 1}",
    "filled": "- add_column: {table: parent, column: x, type: int, up: code}",
    "index": "- create_index: {table: app.child, name: child_v, columns: [v]}",
    "two tables": "- change_column: {table: app.child, column: parent, type: bigint}\n- change_column: {table: "
    "parent, column: code, to: n, type: bigint}",
}
PROMISES: dict[str, tuple[str, str, str, Phase | None]] = {
    "change": ("backfill, as soon", "contract", "contract.03.drop_trigger.parent", None),
    "same name": ("switch (until then", "switch, unless it accepts", "contract.02.drop_trigger.child", None),
    "native": ("switch (until then", "it keeps working", "switch.01.type.child.v", Phase.SWITCH),
    "rename": ("backfill, as soon", "contract", "contract.03.drop_trigger.child", None),
    "add": ("expand", "it keeps working", "none", None),
    "filled": ("backfill, as soon", "it keeps working", "contract.01.drop_trigger.parent", None),
    "index": ("expand", "it keeps working", "none", None),
}  # fmt: skip


def program(lab: Lab, name: str) -> Program:
    lab.run(TABLES)
    lab.write(PLANS[name])
    return lab.compile().program


@pytest.mark.parametrize("name", PLANS)
def test_it_survives_json_and_hashes_alike(lab: Lab, name: str) -> None:
    made = program(lab, name)
    again = Program.model_validate_json(made.model_dump_json())
    assert again == made
    assert again.hash() == made.hash() == lab.compile().program.hash()


@pytest.mark.parametrize("name", PROMISES)
def test_it_says_when_which_application_works(lab: Lab, name: str) -> None:
    made = program(lab, name)
    new, old, last, one_way = PROMISES[name]
    assert made.new_application_from.startswith(new)
    assert made.old_application_until.startswith(old)
    assert (made.point_of_no_return, made.one_way_after) == (last, one_way)


def test_down_none_is_one_way_behind_the_switch(lab: Lab) -> None:
    lab.run(TABLES)
    lab.write("- change_column: {table: parent, column: code, to: n, type: bigint, down: none}")
    made = lab.compile().program
    assert made.one_way_after is Phase.SWITCH
    assert any("no way back" in note for note in made.notes)


def test_it_names_every_column_it_reads_or_makes(lab: Lab) -> None:
    made = program(lab, "change")
    [columns] = made.columns_of_plan.values()
    assert {"code", "n"} < set(columns)
    assert any(column.startswith("osc_old_code") for column in columns)


def test_a_column_that_is_added_at_once_is_one_of_the_plan(lab: Lab) -> None:
    assert program(lab, "add").columns_of_plan == {"public.parent": ("x",)}


def test_referenced_tables_are_locked_first(lab: Lab) -> None:
    made = program(lab, "two tables")
    assert [str(table) for table in made.tables] == ["public.parent", "app.child"]
    for step in made.steps():
        for locks in (step.locks, getattr(step, "undo_locks", None) or ()):
            order = [str(lock.table) for lock in locks]
            assert order == sorted(order, reverse=True), step.id


@pytest.mark.either_version
def test_two_tables_switch_together_and_back(lab: Lab) -> None:
    lab.run(TABLES)
    lab.write(PLANS["two tables"])
    before = lab.dump()
    for phase in (*Phase,)[:4]:
        lab.apply(phase)
        assert lab.drift_behind(phase) == []
    assert len([step for step in lab.program().steps() if step.kind == "switch"]) == 1
    lab.back()
    assert lab.dump() == before
    lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT c.parent, p.n FROM app.child AS c JOIN parent AS p ON p.id = c.parent WHERE c.id = 3") == [
        (3, 3)
    ]


MIXED = """\
- change_column: {table: parent, column: code, to: n, type: bigint, up: 'code::bigint + 0', down: '(n - 0)::int'}
- change_column: {table: parent, column: extra, type: bigint, up: 'extra + code', down: '(extra - code)::int'}
- add_column: {table: parent, column: twice, type: int, up: code * 2}
- create_index: {table: parent, name: by_n, columns: [n, extra, {expression: abs(twice)}]}
"""


def test_every_expression_is_typed_proven_and_probed_on_the_table_as_it_is(lab: Lab) -> None:
    lab.run(TABLES + "ALTER TABLE parent ADD extra integer")
    lab.write(MIXED)
    made = lab.compile().program
    for text in (*(proof.typing for proof in made.proofs if proof.typing), *(probe.sql for probe in made.probes)):
        assert lab.rows(text) == [], text
    lab.apply(Phase.CONTRACT)
    assert lab.drift_behind(Phase.CONTRACT) == []


def test_steps_have_ids_of_their_own_and_say_what_they_are_for(lab: Lab) -> None:
    made = program(lab, "two tables")
    ids = [step.id for step in made.steps()]
    assert len(ids) == len(set(ids))
    assert all(step.title for step in made.steps())


def test_a_column_that_somebody_drops_meanwhile_is_drift(lab: Lab) -> None:
    lab.run(TABLES)
    lab.write(PLANS["add"])
    lab.apply(Phase.EXPAND)
    lab.run("ALTER TABLE parent DROP COLUMN x")
    with pytest.raises(Exception, match="column x: expected type integer, found nothing"):
        lab.apply(Phase.BACKFILL)


@pytest.mark.parametrize("name", ["index", "same name"])
def test_no_index_is_built_concurrently_where_the_server_could_leave_rows_out(lab: Lab, name: str) -> None:
    lab.run(TABLES + "CREATE INDEX child_parent ON app.child (parent);")
    lab.write(PLANS[name])
    compiled = lab.compile()
    plan, catalog = compiled.source.plan, compiled.catalog
    old = catalog.model_copy(update={"server": catalog.server.model_copy(update={"version_num": 140_003})})
    with pytest.raises(Refused) as refused:
        compile_plan(plan, old)
    assert [finding.code for finding in refused.value.findings] == ["C110"]
    mended = catalog.model_copy(update={"server": catalog.server.model_copy(update={"version_num": 140_004})})
    compile_plan(plan, mended)
