"""F72: a partitioned table is changed as one, filled and verified leaf by leaf, whatever becomes of its leaves meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from osc.errors import Conflict, Drift, Refused
from osc.executor.backfill.crew import Crew
from osc.executor.backfill.inspection import Inspection
from osc.executor.backfill.lane import Lane
from osc.pg.lock_limits import limits
from osc.program import Phase
from osc.verbs.apply import apply
from tests.operations.lab import QUICK
from tests.sync.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect
    from tests.operations.lab import Lab

pytestmark = pytest.mark.either_version

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
FURTHER = "INSERT INTO t (id, kind, s) SELECT i, 'odd', i::text FROM generate_series(300, 399) AS i"
WAYS = {
    "along the key": (KEYED, "backfill: {walk: keyset}"),
    "through the blocks": (KEYED, "backfill: {walk: blocks, parallel: 3}"),
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
        name = {Lane: "batch", Inspection: "_range", Crew: "_ground"}[of]
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
        f"CREATE TABLE t4 PARTITION OF t FOR VALUES FROM (300) TO (400); {FURTHER}",
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


@pytest.mark.usefixtures("way")
def test_rows_that_cannot_be_filled_are_named_whatever_leaf_they_lie_in(lab: Lab) -> None:
    lab.run("UPDATE t SET s = 'x' WHERE id IN (5, 150, 250)")
    with pytest.raises(Refused, match=r"3 rows of public.t cannot be filled") as refused:
        lab.apply(Phase.BACKFILL)
    assert len({tuple(key) for key in refused.value.facts["keys"]}) == 3
    assert lab.value("SELECT count(*) FROM t WHERE n IS NULL") == 3
    lab.run("UPDATE t SET s = '5' WHERE id = 5; DELETE FROM t WHERE id = 150")
    with pytest.raises(Refused, match=r"1 rows of public.t cannot be filled"):
        lab.apply(Phase.BACKFILL)
    lab.run("ALTER TABLE t DETACH PARTITION t3")
    lab.apply(Phase.BACKFILL)
    assert lab.value(OUT_OF_STEP) == 0


@pytest.mark.usefixtures("way")
def test_a_partition_that_comes_with_a_trigger_of_its_own_is_drift(lab: Lab) -> None:
    lab.apply(Phase.BACKFILL)
    lab.run(ATTACH)
    lab.run(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.n := 0; RETURN NEW; END$$;"
        "CREATE TRIGGER g BEFORE UPDATE ON t4 FOR EACH ROW EXECUTE FUNCTION f()"
    )
    with pytest.raises(Drift, match=r"partition public.t4: expected nothing of its own, found has trigger g"):
        lab.apply(Phase.SWITCH)
    lab.run("DROP TRIGGER g ON t4")
    lab.finish()


@pytest.mark.usefixtures("way")
def test_a_trigger_switched_off_on_one_partition_stops_the_fill(lab: Lab, meanwhile: Callable[..., None]) -> None:
    meanwhile("ALTER TABLE t3 DISABLE TRIGGER ALL")
    with pytest.raises(Conflict, match=r"the sync trigger of public.t3 is missing, disabled or changed"):
        lab.apply(Phase.BACKFILL)
    lab.run("SELECT 1")


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
@pytest.mark.usefixtures("way")
def test_a_row_that_moves_to_another_partition_loses_nothing_of_either_version(lab: Lab, isolation: str) -> None:
    lab.apply(Phase.DUAL_WRITE)
    begin = f"BEGIN ISOLATION LEVEL {isolation};"
    lab.run("UPDATE t SET s = NULL WHERE id = 9; INSERT INTO t (id, kind, n) VALUES (10, 'new', 1010)")
    for statement, s, n in (
        ("UPDATE t SET id = id + 900 WHERE id = 1", "1", 1),  # OLD or NEW, neither column
        ("UPDATE t SET id = id + 900, s = '22' WHERE id = 2", "22", 22),
        ("UPDATE t SET id = id + 900, n = 33 WHERE id = 3", "33", 33),
        ("UPDATE t SET id = id + 900, s = '004' WHERE id = 4", "004", 4),  # n::text is not s
        ("UPDATE t SET id = id + 900, s = NULL, n = NULL WHERE id = 5", None, None),
        ("UPDATE t SET id = id + 900 WHERE id = 9", None, None),
        ("UPDATE t SET id = id + 900 WHERE id = 10 AND kind = 'new'", "1010", 1010),
        ("UPDATE t SET kind = 'odd' WHERE id = 110", "110", 110),  # one level below
    ):
        lab.run(begin + statement + "; COMMIT")
        found = statement.rsplit("id = ", 1)[1].split(" ", 1)[0]
        moved = int(found) + (0 if "kind = 'odd'" in statement else 900)
        assert lab.rows(f"SELECT s, n FROM t WHERE id = {moved}") == [(s, n)], statement
    lab.apply(Phase.BACKFILL)
    assert lab.value(OUT_OF_STEP) == 0
    assert lab.value("SELECT s FROM t WHERE id = 904") == "004"


@pytest.mark.usefixtures("way")
def test_a_holder_of_one_partition_is_seen_and_not_queued_behind(lab: Lab, connect: Connect) -> None:
    lab.apply(Phase.BACKFILL)
    with connect() as app, ThreadPoolExecutor() as threads:
        app.autocommit = False
        app.execute("SELECT FROM t3")
        app.execute("SELECT pg_sleep(0.2)")  # longer than a long holder is one
        switching = threads.submit(lab.apply, Phase.SWITCH)
        try:
            waiting = "SELECT count(*) FROM osc.step WHERE waiting = 'lock' AND detail::text LIKE '%t3%'"
            until(lambda: lab.value(waiting) == 1)
            assert lab.value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation <> 0") == 0
        finally:
            app.rollback()
        switching.result(20)
    assert lab.value("SELECT count(*) FROM t WHERE n IS NULL") == 0


@pytest.mark.usefixtures("way")
def test_the_strong_locks_of_all_partitions_end_within_half_of_deadlock_timeout(lab: Lab) -> None:
    lab.apply(Phase.EXPAND)
    steps = [step for step in lab.program().steps() if any(lock.mode.strong for lock in step.locks)]
    assert steps
    assert all(lock.leaves for step in steps for lock in step.locks)
    for step in steps:
        limit = limits(QUICK, step.locks, attempt=9, deadlock_timeout_ms=1000, autovacuum=False, jitter=1.0)
        assert limit.statement_timeout_ms <= 500


def test_an_index_built_by_hand_in_the_middle_is_drift_that_can_be_accepted(lab: Lab) -> None:
    lab.run(KEYED)
    lab.write(CHANGE)
    lab.apply(Phase.BACKFILL)
    lab.run("CREATE INDEX t_n ON ONLY t (n)")
    for leaf in ("t1", "t3", "nothing", "t2"):
        lab.run(f"CREATE INDEX {leaf}_n ON {leaf} (n); ALTER INDEX t_n ATTACH PARTITION {leaf}_n")
    with pytest.raises(Drift, match=r"index t_n"):
        lab.apply(Phase.SWITCH)
    anyio.run(partial(apply, lab.session, lab.plan, to=Phase.SWITCH, accept_drift=True))
    lab.finish()
    assert lab.value("SELECT count(*) FROM t WHERE n IS NULL") == 0
    assert lab.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 't_n'::regclass")


@pytest.mark.parametrize("what", ["attached", "renamed"])
@pytest.mark.usefixtures("way")
def test_what_the_fill_alone_reaches(
    lab: Lab, what: str, meanwhile: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(*_: Any) -> bool:
        return False

    monkeypatch.setattr("osc.executor.handlers.verify._send_back", leave)
    meanwhile(MEANWHILE[what][0], of=Crew)
    lab.apply(Phase.BACKFILL)
    assert lab.value(OUT_OF_STEP) == 0


VOLATILE = "- add_column: {table: t, column: tag, type: int, default: {sql: '(random() * 0)::int'}, not_null: true}"


def test_a_detached_partition_is_not_written_any_more(lab: Lab, meanwhile: Callable[..., None]) -> None:
    """Its column has no trigger to go with the partition, so only the leaf itself can tell."""
    lab.run(KEYED)
    lab.write(VOLATILE, "backfill: {walk: keyset}")
    meanwhile("ALTER TABLE t DETACH PARTITION t3; ALTER TABLE t DETACH PARTITION t1", of=Crew)
    lab.apply(Phase.BACKFILL)
    assert lab.value("SELECT count(*) FROM t WHERE tag IS NULL") == 0
    assert lab.value("SELECT count(tag) FROM t3") + lab.value("SELECT count(tag) FROM t1") == 0
