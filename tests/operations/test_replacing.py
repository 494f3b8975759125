"""A column takes another's place on a table with everything on it, to the wished shape and back from anywhere."""

from __future__ import annotations

import re

import pytest

from osc.errors import Refused
from osc.program import Phase
from tests.fixtures.sweeping import daily
from tests.operations.lab import RETIRED, Lab
from tests.operations.shapes import NAMED_NOT_NULL, SHAPES, Shape

KEEP = "contract: {keep_for: 1d}\n"
PHASES = [*Phase][:4]


def prepare(lab: Lab, shape: Shape, rest: str = "") -> None:
    lab.run(shape.before)
    lab.run(shape.rows)
    lab.write(shape.operations, shape.rest + rest)


def to(lab: Lab, phase: Phase | str) -> None:
    if phase is Phase.EXPAND:
        lab.apply(phase)
        if "writers-comply" in lab.plan.read_text():
            lab.ack("writers-comply")
    else:
        lab.apply(phase)


def shapes(lab: Lab) -> dict[str, Shape]:
    return SHAPES if lab.connection.info.server_version < 180_000 else {**SHAPES, **NAMED_NOT_NULL}


def in_any_order(dump: str) -> list[str]:
    """The table's columns in any order, everything else word for word."""
    return sorted(re.sub(r",$", "", line) for line in dump.splitlines())


@pytest.mark.either_version
@pytest.mark.parametrize("name", [*SHAPES, *NAMED_NOT_NULL])
def test_the_table_ends_as_if_made_by_hand(lab: Lab, name: str) -> None:
    shape = shape_of(lab, name)
    prepare(lab, shape)
    for phase in PHASES:
        to(lab, phase)
        assert lab.drift_behind(phase) == [], phase
        if phase is Phase.DUAL_WRITE and shape.old_writes:
            lab.run(shape.old_writes)
        if phase is Phase.BACKFILL and shape.new_writes:
            lab.run(shape.new_writes)
    lab.apply(Phase.CONTRACT)
    assert lab.drift_behind(Phase.CONTRACT) == []
    if shape.after:
        assert tuple(lab.rows(shape.after)) == shape.found
    ours = lab.dump()
    lab.run(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA "
        "public TO PUBLIC; COMMENT ON SCHEMA public IS 'standard public schema'"
    )
    lab.run(shape.wanted)
    assert in_any_order(ours) == in_any_order(lab.dump())


def shape_of(lab: Lab, name: str) -> Shape:
    if name not in shapes(lab):
        pytest.skip("NOT NULL constraints have names since 18")
    return shapes(lab)[name]


@pytest.mark.either_version
@pytest.mark.parametrize("name", daily([*SHAPES, *NAMED_NOT_NULL], 2))
def test_the_way_back_from_every_phase_leaves_the_same_schema_and_data(lab: Lab, name: str) -> None:
    """Half of the shapes a day, others each day; OSC_TEST_SWEEP=1 takes them all."""
    shape = shape_of(lab, name)
    prepare(lab, shape, KEEP)
    data, before = lab.rows(shape.data), lab.dump()
    for phase in PHASES[:3]:
        to(lab, phase)
    filled = lab.dump()
    to(lab, RETIRED)
    lab.back(Phase.BACKFILL)
    assert lab.dump() == filled
    to(lab, Phase.SWITCH)
    for phase in (Phase.SWITCH, Phase.BACKFILL, Phase.DUAL_WRITE):
        lab.back(PHASES[phase.order - 1])
        assert lab.drift_before(phase) == []
    lab.back()
    assert lab.dump() == before
    assert lab.rows(shape.data) == data


T = """
CREATE TABLE t (id integer PRIMARY KEY, a integer NOT NULL CHECK (a < 100));
INSERT INTO t (id, a) SELECT n, n FROM generate_series(1, 9) AS n
"""


@pytest.mark.either_version
def test_what_both_applications_wrote_behind_the_switch_survives_the_way_back(lab: Lab) -> None:
    lab.run(T)
    lab.write("- change_column: {table: t, column: a, to: n, type: bigint}")
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    lab.run("INSERT INTO t (id, n) VALUES (20, 20); UPDATE t SET n = 30 WHERE id = 3")
    lab.run("INSERT INTO t (id, a) VALUES (21, 21); UPDATE t SET a = 40 WHERE id = 4")
    assert lab.rows("SELECT n FROM t WHERE id IN (3, 4, 20, 21) ORDER BY id") == [30, 40, 20, 21]
    lab.back()
    assert lab.rows("SELECT a FROM t WHERE id IN (3, 4, 20, 21) ORDER BY id") == [30, 40, 20, 21]
    assert lab.dump() == before


@pytest.mark.either_version
def test_a_value_that_the_old_column_cannot_hold_closes_the_way_back_until_it_is_mended(lab: Lab) -> None:
    lab.run(T.replace("CHECK (a < 100)", ""))
    lab.write("- change_column: {table: t, column: a, type: bigint}")
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    switched = lab.dump()
    lab.run("UPDATE t SET a = 3000000000 WHERE id = 3")
    with pytest.raises(Refused, match="are not in step"):
        lab.back()
    assert lab.dump() == switched
    lab.run("UPDATE t SET a = 33 WHERE id = 3")
    lab.back()
    assert lab.dump() == before


@pytest.mark.parametrize(
    "down", ["", ", to: n, up: a::bigint, down: 'CASE WHEN n > 9 THEN (n || chr(120))::int ELSE n::int END'"]
)
def test_a_value_that_the_old_column_cannot_hold_is_no_obstacle_on_the_way_forward(lab: Lab, down: str) -> None:
    lab.run(T.replace("CHECK (a < 100)", ""))
    lab.write(f"- change_column: {{table: t, column: a, type: bigint{down}}}")
    name = "n" if down else "a"
    lab.apply(Phase.SWITCH)
    lab.run(f"UPDATE t SET {name} = 3000000000 WHERE id = 3")
    lab.apply(Phase.CONTRACT)
    assert lab.rows(f"SELECT {name} FROM t WHERE id = 3") == [3000000000]


def test_what_the_way_forward_passes_by_still_closes_the_way_back(lab: Lab) -> None:
    lab.run(T.replace("CHECK (a < 100)", ""))
    lab.write("- change_column: {table: t, column: a, to: n, type: bigint}", "contract: {keep_for: 1h}\n")
    lab.apply(Phase.SWITCH)
    lab.run("UPDATE t SET n = 3000000000 WHERE id = 3")
    lab.apply(RETIRED)
    with pytest.raises(Refused, match="are not in step"):
        lab.back()
    assert lab.rows("SELECT n FROM t WHERE id = 3") == [3000000000]
    lab.run("UPDATE t SET n = 33 WHERE id = 3")
    lab.back()
    assert lab.rows("SELECT a FROM t WHERE id = 3") == [33]


def test_what_the_old_column_alone_holds_is_an_obstacle_on_the_way_forward(lab: Lab) -> None:
    lab.run(T.replace("CHECK (a < 100)", ""))
    lab.write("- change_column: {table: t, column: a, to: n, type: bigint}")
    lab.apply(Phase.SWITCH)
    trigger = lab.value("SELECT quote_ident(tgname) FROM pg_trigger WHERE tgname LIKE '~osc%'")
    lab.run(f"ALTER TABLE t DISABLE TRIGGER {trigger}")
    lab.run("UPDATE t SET a = 77 WHERE id = 3")
    lab.run(f"ALTER TABLE t ENABLE ALWAYS TRIGGER {trigger}")
    with pytest.raises(Refused, match=r"1 of .* are not in step"):
        lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT a FROM t WHERE id = 3") == [77]


@pytest.mark.either_version
def test_a_value_that_a_rule_of_the_old_column_refuses_stops_the_way_back_and_it_goes_on_when_mended(lab: Lab) -> None:
    lab.run(T.replace("CHECK (a < 100)", "CHECK (a < b), b integer DEFAULT 100"))
    lab.write(
        "- change_column: {table: t, column: a, to: n, type: bigint, down: 'CASE WHEN n = 50 THEN 500 ELSE n::int END'}"
    )
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    lab.run("UPDATE t SET n = 50 WHERE id = 3")
    assert lab.rows("SELECT a FROM t WHERE id = 3") == [500]
    with pytest.raises(Refused, match="violated by some row"):
        lab.back()
    lab.run("UPDATE t SET n = 5 WHERE id = 3")
    lab.back()
    assert lab.dump() == before
