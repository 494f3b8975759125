"""F72: a partitioned table is changed as one, filled and verified leaf by leaf, whatever becomes of its leaves meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import Refused
from osc.executor.backfill.inspection import Inspection
from osc.executor.backfill.lane import Lane
from osc.program import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from osc.executor.lead import Lead
    from tests.operations.lab import Lab

pytestmark = pytest.mark.both_versions

KEY = "PRIMARY KEY (id, kind)"
TABLE = """
CREATE TABLE t (id integer NOT NULL, kind text NOT NULL, s text{}) PARTITION BY RANGE (id);
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (100);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (100) TO (200) PARTITION BY LIST (kind);
CREATE TABLE "t2's odd" PARTITION OF t2 FOR VALUES IN ('odd');
CREATE TABLE t2_even PARTITION OF t2 FOR VALUES IN ('even');
CREATE TABLE t3 (gone integer, s text, kind text NOT NULL, id integer NOT NULL);
ALTER TABLE t3 DROP COLUMN gone;
ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (200) TO (300);
CREATE TABLE nothing PARTITION OF t FOR VALUES FROM (900) TO (1300);
INSERT INTO t SELECT i, CASE i % 2 WHEN 1 THEN 'odd' ELSE 'even' END, i::text FROM generate_series(0, 299) AS i;
ANALYZE t;
"""
KEYED, KEYLESS = TABLE.format(", " + KEY), TABLE.format("")
CHANGE = "- change_column: {table: t, column: s, to: n, type: integer, up: 's::integer', down: 'n::text'}"
ATTACH = """
CREATE TABLE t4 (LIKE t INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO t4 (id, kind, s) SELECT i, 'odd', i::text FROM generate_series(300, 399) AS i;
ALTER TABLE t ATTACH PARTITION t4 FOR VALUES FROM (300) TO (400)
"""
WAYS = {
    "along the key": (KEYED, "backfill: {walk: keyset}"),
    "through the blocks": (KEYED, "backfill: {walk: blocks}"),
    "without a key": (KEYLESS, "backfill: {walk: blocks}"),
}
OUT_OF_STEP = "SELECT count(*) FROM t WHERE n IS DISTINCT FROM s::integer"
LEAVES = "SELECT count(DISTINCT leaf) FROM osc.slice WHERE leaf IS NOT NULL"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, lab: Lab) -> str:
    before, rest = WAYS[request.param]
    lab.run(before)
    lab.write(CHANGE, rest)
    return str(request.param)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> Callable[..., None]:
    """Give a function that has statements run behind the first batch of so many rows, once."""

    def at(sql: str, *, batch: int = 1, of: Any = Lane) -> None:
        name = "batch" if of is Lane else "_range"
        passed, real = [0], getattr(of, name)

        async def wrapped(self: Any, *args: Any) -> Any:
            answer = await real(self, *args)
            passed[0] += 1
            if passed[0] == batch:
                lab.run(sql)
            return answer

        monkeypatch.setattr(of, name, wrapped)

    return at


@pytest.mark.usefixtures("way")
def test_all_the_way(lab: Lab) -> None:
    lab.apply(Phase.BACKFILL)
    assert lab.value(OUT_OF_STEP) == 0
    assert lab.value(LEAVES) >= 4
    assert lab.drift_behind(Phase.BACKFILL) == []
    lab.apply(Phase.SWITCH)
    lab.run("UPDATE t SET id = id + 900, n = n + 1 WHERE id >= 50 AND id < 100; DELETE FROM t WHERE id = 7")
    lab.run("INSERT INTO t (id, kind, s) VALUES (7, 'odd', '77')")
    assert lab.value(OUT_OF_STEP) == 0
    assert lab.value("SELECT sum(n) FROM t") == sum(range(300)) + 50 + 70
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n IS NULL") == 0
    assert "osc" not in lab.dump()


@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.BACKFILL, Phase.SWITCH])
@pytest.mark.usefixtures("way")
def test_all_the_way_back(lab: Lab, phase: Phase) -> None:
    before, rows = lab.dump(), lab.rows("SELECT tableoid, * FROM t ORDER BY id")
    lab.apply(phase)
    lab.back()
    assert lab.dump() == before
    assert lab.rows("SELECT tableoid, * FROM t ORDER BY id") == rows


MEANWHILE = {
    "attached": (ATTACH, 400),
    "made": (
        "CREATE TABLE t4 PARTITION OF t FOR VALUES FROM (300) TO (400); INSERT INTO t (id, kind, s) SELECT i, 'odd', i::text "
        "FROM generate_series(300, 399) AS i",
        400,
    ),
    "detached": ("ALTER TABLE t DETACH PARTITION t3", 200),
    "dropped": ("DROP TABLE t1", 200),
    "renamed": ("ALTER TABLE t3 RENAME TO t9; ALTER TABLE t1 RENAME TO t3; ALTER TABLE t9 RENAME TO t1", 300),
    "emptied": ("TRUNCATE t1", 200),
    "written anew": ("VACUUM FULL t1", 300),
    "moved to another schema": ("CREATE SCHEMA archive; ALTER TABLE t1 SET SCHEMA archive", 300),
    "rows moved": ("UPDATE t SET id = id + 900 WHERE id < 90 OR id >= 210", 300),
}


@pytest.mark.parametrize("what", MEANWHILE)
@pytest.mark.usefixtures("way")
def test_partitions_that_come_and_go_while_the_fill_runs(lab: Lab, meanwhile: Callable[..., None], what: str) -> None:
    sql, rows = MEANWHILE[what]
    meanwhile(sql)
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) FROM t") == rows
    assert lab.value(OUT_OF_STEP) == 0
    assert lab.value("SELECT rows FROM osc.verification ORDER BY verification DESC LIMIT 1") == rows
    lab.finish()


@pytest.mark.parametrize("what", ["attached", "detached", "dropped", "renamed", "emptied"])
@pytest.mark.usefixtures("way")
def test_partitions_that_come_and_go_while_it_is_verified(lab: Lab, meanwhile: Callable[..., None], what: str) -> None:
    sql, rows = MEANWHILE[what]
    meanwhile(sql, of=Inspection)
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) FROM t") == rows
    assert lab.value(OUT_OF_STEP) == 0


@pytest.mark.usefixtures("way")
def test_a_partition_attached_behind_the_backfill_is_filled_before_the_switch(lab: Lab) -> None:
    lab.apply(Phase.BACKFILL)
    lab.run(ATTACH)
    assert lab.value(OUT_OF_STEP) == 100
    lab.apply(Phase.SWITCH)
    assert lab.value(OUT_OF_STEP) == 0
    lab.finish()
