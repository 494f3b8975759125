"""Type changes of the catalog alone: no file is rewritten, no index rebuilt, and the statistics come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.errors import Conflict
from osc.program import Phase
from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from tests.operations.lab import Lab

FILES = """
SELECT oid::regclass::text, pg_relation_filenode(oid) FROM pg_class
WHERE relnamespace = 'public'::regnamespace ORDER BY 1
"""

NATIVE = {
    "T01 longer": ("varchar(10)", "varchar(20)", "'x'"),
    "T01 unlimited": ("varchar(10)", "varchar", "'x'"),
    "T01 text": ("varchar(10)", "text", "'x'"),
    "T02": ("text", "varchar", "'x'"),
    "T04 wider": ("numeric(10,2)", "numeric(12,2)", "1.5"),
    "T04 unlimited": ("numeric(10,2)", "numeric", "1.5"),
    "T07 timestamp": ("timestamp(0)", "timestamp(3)", "now()"),
    "T07 timestamptz": ("timestamptz(3)", "timestamptz", "now()"),
    "T07 time": ("time(0)", "time", "'12:00'"),
    "T11": ("cidr", "inet", "'10.0.0.0/8'"),
    "T13 longer": ("varbit(3)", "varbit(9)", "B'101'"),
    "T13 unlimited": ("varbit(3)", "varbit", "B'101'"),
    "T13 bit": ("bit(3)", "varbit", "B'101'"),
}


@pytest.mark.either_version
@pytest.mark.parametrize("name", daily(list(NATIVE), 2))
def test_nothing_is_rewritten_or_rebuilt(lab: Lab, name: str) -> None:
    old, new, value = NATIVE[name]
    lab.run(f"CREATE TABLE t (a {old} NOT NULL DEFAULT {value})")
    if name != "T13 bit":  # an index on it would be built anew, for bit has another operator class: the long way
        lab.run("CREATE INDEX i ON t (a); CREATE INDEX j ON t (a DESC)")
    lab.run(f"INSERT INTO t SELECT {value} FROM generate_series(1, 20); ANALYZE t")
    lab.write(f"- change_column: {{table: t, column: a, type: '{new}'}}")
    files = lab.rows(FILES)
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) FROM pg_trigger WHERE tgrelid = 't'::regclass") == 0
    lab.apply(Phase.SWITCH)
    assert lab.rows(FILES) == files
    assert lab.value("SELECT count(*) FROM pg_stats WHERE tablename = 't'") == 1
    assert lab.drift_behind(Phase.SWITCH) == []
    with pytest.raises(Conflict, match="no undo"):
        lab.back()


LONG_WAY = {
    "a partial index": "CREATE INDEX i ON t (id) WHERE a IS NOT NULL",
    "an expression index": "CREATE INDEX i ON t (lower(a))",
    "a check": "ALTER TABLE t ADD CHECK (a <> '')",
}


@pytest.mark.parametrize("name", LONG_WAY)
def test_what_the_server_would_rebuild_or_scan_goes_the_long_way(lab: Lab, name: str) -> None:
    lab.run(f"CREATE TABLE t (id integer PRIMARY KEY, a varchar(10)); {LONG_WAY[name]}")
    lab.write("- change_column: {table: t, column: a, type: text}")
    program = lab.compile().program
    assert any(step.kind == "fill" for step in program.steps())
    assert program.point_of_no_return.startswith("contract")


def test_the_long_way_can_be_asked_for_and_never_cuts_a_value(lab: Lab) -> None:
    lab.run("CREATE TABLE t (id integer PRIMARY KEY, a varchar(3)); INSERT INTO t VALUES (1, 'abc')")
    lab.write("- change_column: {table: t, column: a, to: n, type: text}")
    before = lab.dump()
    lab.apply(Phase.SWITCH)
    lab.run("UPDATE t SET n = 'longer' WHERE id = 1")
    assert lab.rows("SELECT a, n FROM t") == [(None, "longer")]
    with pytest.raises(Exception, match=r"1 of 1 rows of public\.t are not in step"):
        lab.back()
    lab.run("UPDATE t SET n = 'xyz' WHERE id = 1")
    lab.back()
    assert lab.rows("SELECT a FROM t") == ["xyz"]
    assert lab.dump() == before


def test_a_shorter_type_names_the_rows_that_do_not_fit(lab: Lab) -> None:
    lab.run("CREATE TABLE t (id integer PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'abc'), (2, 'too long')")
    lab.write("- change_column: {table: t, column: a, to: n, type: varchar(3)}")
    with pytest.raises(Exception, match=r"1 rows of public.t cannot be filled.*\(2\): value too long"):
        lab.apply(Phase.BACKFILL)
    assert lab.rows("SELECT n FROM t ORDER BY id") == ["abc", None]
