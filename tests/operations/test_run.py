"""The author's own statements: in every phase, behind the operations' steps, undone before them, last first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import Conflict
from osc.program import Phase

if TYPE_CHECKING:
    from tests.operations.lab import Lab

T = "CREATE TABLE t (id integer PRIMARY KEY, a integer); CREATE TABLE said (n serial, what text)"
PHASES = [phase.value for phase in Phase]


def told(phase: str, number: int, undo: bool = True) -> str:
    said = f"""{{sql: "INSERT INTO public.said (what) VALUES ('{phase} {number}')", lock: said"""
    return (
        f"""{said}, undo: "INSERT INTO public.said (what) VALUES ('undo {phase} {number}')"}}""" if undo else said + "}"
    )


def test_they_run_in_their_order_and_are_undone_in_the_opposite_one(lab: Lab) -> None:
    lab.run(T)
    rest = "".join(f"{phase}:\n  run:\n  - {told(phase, 1)}\n  - {told(phase, 2)}\n" for phase in PHASES[:4])
    lab.write("- change_column: {table: t, column: a, type: bigint}", rest)
    lab.apply(Phase.SWITCH)
    lab.back()
    forward = [f"{phase} {number}" for phase in PHASES[:4] for number in (1, 2)]
    assert lab.rows("SELECT what FROM said ORDER BY n") == [*forward, *(f"undo {one}" for one in reversed(forward))]


def test_in_contract_they_come_after_the_drop(lab: Lab) -> None:
    lab.run(T)
    columns = "FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attnum > 0 AND NOT attisdropped"
    statement = f"INSERT INTO public.said (what) SELECT count(*) {columns}"
    lab.write("- rename_column: {table: t, column: a, to: b}", f'contract: {{run: [{{sql: "{statement}"}}]}}\n')
    lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT what FROM said") == ["2"]


def test_without_undo_the_way_back_ends_there_and_the_plan_says_so(lab: Lab) -> None:
    lab.run(T)
    lab.write(
        "- add_column: {table: t, column: x, type: int}", f"backfill: {{run: [{told('backfill', 1, undo=False)}]}}\n"
    )
    compiled = lab.compile()
    assert [warning.code for warning in compiled.warnings] == ["V154"]
    assert compiled.program.point_of_no_return == "backfill.01.run.1"
    assert compiled.program.one_way_after == Phase.BACKFILL
    lab.apply(Phase.BACKFILL)
    dump = lab.dump()
    with pytest.raises(Conflict, match="has no undo"):
        lab.back(Phase.EXPAND)
    assert lab.dump() == dump


def test_a_statement_that_fails_changes_nothing_and_can_be_repeated(lab: Lab) -> None:
    lab.run(T)
    lab.write(
        "- add_column: {table: t, column: x, type: int}",
        'expand: {run: [{sql: "INSERT INTO public.later VALUES (1)", undo: "DELETE FROM public.later"}]}\n',
    )
    with pytest.raises(Exception, match="later"):
        lab.apply(Phase.EXPAND)
    lab.run("CREATE TABLE later (n integer)")
    lab.apply(Phase.EXPAND)
    assert lab.rows("SELECT n FROM later") == [1]
    lab.back()
    assert lab.rows("SELECT n FROM later") == []


@pytest.mark.parametrize(
    ("keys", "codes"),
    [
        ("sql: REINDEX INDEX CONCURRENTLY public.t_pkey, undo: SELECT 1", ["V152"]),
        ("sql: SELECT 1, undo: REINDEX INDEX CONCURRENTLY public.t_pkey", ["V152"]),
        ("sql: REINDEX INDEX CONCURRENTLY public.t_pkey, undo: SELECT 1, transaction: false", []),
        ("sql: VACUUM public.t, undo: SELECT 1, transaction: false, lock: t", ["V155"]),
    ],
)
def test_a_statement_is_in_a_transaction_with_its_locks_or_outside_without_them(
    lab: Lab, keys: str, codes: list[str]
) -> None:
    lab.run(T)
    lab.write("- add_column: {table: t, column: x, type: int}", f"expand: {{run: [{{{keys}}}]}}\n")
    if not codes:
        return lab.apply(Phase.EXPAND)
    assert [line.split()[0] for line in lab.refusal()] == codes
