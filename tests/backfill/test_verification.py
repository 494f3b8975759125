"""Verification: every row is looked at, what is out of step is counted and named, and what can be filled is sent back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import Refused
from osc.executor.backfill import inspection, looking
from osc.executor.handlers import verify
from osc.pg.target import Target
from osc.plan import open_text
from osc.program import Phase
from osc.settings import DEFAULTS
from osc.state import gates, journal, verifications
from osc.verbs.advance import advance
from osc.verbs.apply import register
from osc.verbs.rollback import rollback
from osc.verbs.session import Session
from osc.verbs.verify import verify as verify_now
from tests.sync.rig import plan_of

if TYPE_CHECKING:
    from osc.executor.backfill.statements import Row
    from osc.executor.lead import Lead
    from osc.pg.session import Connection
    from osc.state.journal import StepRow
    from tests.backfill.conftest import App, Begin, Filling, OpenApp

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

TO_INT = "- change_column: {table: t, column: s, to: n, type: integer, up: 's::int', down: 'n::text'}"


async def table(app: OpenApp, rows: int = 100) -> App:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, %s) AS i", [rows])
    return one


async def behind_the_trigger(conn: App, sql: str) -> None:
    """Write as if the trigger were off for a moment."""
    async with conn.transaction():
        await conn.execute("SET LOCAL osc.writer = 'backfill'")
        await conn.execute(sql)


async def started(filling: Filling) -> StepRow:
    lead = filling.lead
    rows = await lead.ask(journal.steps(lead.control, lead.number))
    ordinal = next(row.ordinal for row in rows if row.step == filling.verify_step.id)
    return await lead.ask(journal.start(lead.control, lead.number, ordinal, lead.epoch))


async def test_every_row_is_counted_once_and_some_of_the_wrong_ones_are_named(begin: Begin, app: OpenApp) -> None:
    one = await table(app)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    await behind_the_trigger(one, "UPDATE t SET n = -1 WHERE id % 3 = 0")
    filling.lead.executor.settings = replace(filling.lead.settings, verify_rows=7, sample_keys_max=5)
    found = await filling.verify()
    assert (found.rows, found.mismatches, found.sample) == (100, 33, [["3"], ["6"], ["9"], ["12"], ["15"]])
    kept = (await verifications.latest(filling.lead.control, filling.lead.number))[filling.verify_step.id]
    assert (kept.rows, kept.mismatches, kept.sample) == (100, 33, found.sample)


async def test_rows_that_were_written_both_ways_are_refused_by_key(begin: Begin, app: OpenApp) -> None:
    one = await table(app)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    await one.execute("UPDATE t SET s = '1000', n = 2000 WHERE id IN (40, 50)")
    with pytest.raises(Refused, match=r"2 of 100 rows of public.t are not in step: \(40\); \(50\)"):
        await verify.do(filling.lead, filling.verify_step, await started(filling))
    assert await (await one.execute("SELECT DISTINCT s, n FROM t WHERE id IN (40, 50)")).fetchall() == [("1000", 2000)]


async def test_rows_without_a_value_are_filled_by_the_verification_and_looked_at_again(
    begin: Begin, app: OpenApp
) -> None:
    one = await table(app)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    await behind_the_trigger(one, "UPDATE t SET id = -id, n = NULL WHERE id > 90")
    row = await started(filling)
    await verify.do(filling.lead, filling.verify_step, row)
    assert await (await one.execute("SELECT count(*) FROM t WHERE n = s::int")).fetchone() == (100,)
    rows = await filling.lead.ask(journal.steps(filling.lead.control, filling.lead.number))
    assert rows[row.ordinal - 1].state == "done"


async def test_a_page_that_takes_longer_than_a_batch_may_live_is_filled_in_parts(begin: Begin, app: OpenApp) -> None:
    one = await table(app, 24)
    await one.execute("CREATE FUNCTION slow(text) RETURNS int IMMUTABLE LANGUAGE plpgsql COST 1"
                      " AS $$BEGIN PERFORM pg_sleep(0.01); RETURN $1::int; END$$")  # fmt: skip
    filling = await begin(
        "- change_column: {table: t, column: s, to: n, type: integer, up: public.slow(s), down: 'n::text'}"
    )
    lane = await filling.lane(rows=4, batch_statement_timeout_share=0.15)  # 150 ms: some seven rows
    await filling.walk(lane)
    await behind_the_trigger(one, "UPDATE t SET n = NULL")
    await verify.do(filling.lead, filling.verify_step, await started(filling))
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (24,)


async def test_a_poison_row_is_stepped_over_and_keeps_no_other_row_from_being_filled(
    begin: Begin, app: OpenApp
) -> None:
    one = await table(app)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    await behind_the_trigger(one, "UPDATE t SET n = NULL WHERE id > 85")
    await one.execute("UPDATE t SET s = 'x' WHERE id IN (90, 95, 100)")
    found = await filling.verify()
    assert (found.rows, found.mismatches, found.sample[-1]) == (100, 15, ["100"])
    with pytest.raises(Refused, match=r"3 of 100 rows .*: \(90\); \(95\); \(100\)"):
        await verify.do(filling.lead, filling.verify_step, await started(filling))
    assert await (await one.execute("SELECT count(n) FROM t")).fetchone() == (97,)


@pytest.mark.parametrize("down", ["n::int", "public.narrow(n)"], ids=["compared", "guarded"])
async def test_the_way_back_is_closed_by_key_while_rows_hold_what_the_old_column_cannot(
    dsn: str, app: OpenApp, down: str
) -> None:
    one = await app()
    await one.execute("CREATE FUNCTION narrow(bigint) RETURNS int IMMUTABLE LANGUAGE sql RETURN $1::int")
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s int NOT NULL)")
    await one.execute("INSERT INTO t SELECT i, i FROM generate_series(1, 50) AS i")
    session = Session(Target.resolve(dsn), settings=replace(DEFAULTS, poll_s=0.02))
    plan = plan_of(f"- change_column: {{table: t, column: s, to: n, type: bigint, down: '{down}'}}")
    change = await register(session, open_text(plan, "00001_change.yaml"))
    async with session.state("test") as conn:
        for gate in ("writers-comply", "app"):
            await gates.open_gate(conn, change, gate, who="pipeline")
    await advance(session, change.id, to=Phase.SWITCH)
    await verify_now(session, change.id)
    await one.execute("UPDATE t SET n = n + 3000000000 WHERE id IN (7, 50)")
    await one.execute("INSERT INTO t (id, n) VALUES (51, 3000000000)")
    for verb in (verify_now, rollback):
        with pytest.raises(Refused, match=r"3 of 51 rows .*: \(7\); \(50\); \(51\)"):
            await verb(session, change.id)
    await one.execute("UPDATE t SET n = id WHERE n > 2000000000")
    await rollback(session, change.id)
    assert await (await one.execute("SELECT count(*) FROM t WHERE s = id")).fetchone() == (51,)


async def test_no_page_is_larger_than_was_set(begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """I15: each page is a statement of its own, so that no snapshot grows as old as the table is long."""
    await table(app, 100)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    filling.lead.executor.settings = replace(filling.lead.settings, verify_rows=10)
    asked, ask = [], looking.ask

    async def counted(lead: Lead, conn: Connection, sql: str, params: list[object]) -> Row | None:
        asked.append(params)
        return await ask(lead, conn, sql, params)

    monkeypatch.setattr(looking, "ask", counted)
    assert (await filling.verify()).rows == 100
    assert {limit for _, limit, _ in asked} == {10}
    assert len(asked) == 11


def cut(filling: Filling, lanes: int = 1) -> None:
    filling.lead.executor.settings = replace(filling.lead.settings, verify_rows=10, slice_blocks_min=1, lanes=lanes)


@pytest.mark.parametrize("key", ["id int PRIMARY KEY", "id text PRIMARY KEY", "id int"])
@pytest.mark.parametrize("lanes", [1, 3])
async def test_ranges_cover_every_row_once_and_name_what_is_out_of_step(
    begin: Begin, app: OpenApp, key: str, lanes: int
) -> None:
    one = await app()
    await one.execute(f"CREATE TABLE t ({key}, s text, pad text DEFAULT repeat('x', 200))".encode())
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(-300, 699) AS i")
    await one.execute("ANALYZE t")
    filling = await begin(TO_INT, "backfill: {walk: blocks}")
    await one.execute("UPDATE t SET s = s")  # the trigger fills
    cut(filling, lanes)
    verdict = await filling.verify()
    assert (verdict.rows, verdict.mismatches) == (1000, 0)
    async with one.transaction():
        await one.execute("SET LOCAL osc.writer = 'backfill'")
        await one.execute("UPDATE t SET n = n + 1 WHERE s IN ('-300', '0', '699')")
    verdict = await filling.verify()
    assert (verdict.rows, verdict.mismatches, len(verdict.sample)) == (1000, 3, 3)
    ranges = (
        await (await one.execute("SELECT ranges FROM osc.verification ORDER BY verification DESC")).fetchone() or [()]
    )[0]
    assert len(ranges) > 3
    assert sum(rows is None for _, _, rows, _ in ranges) in (2, 3)


async def test_a_pass_that_was_broken_off_goes_on_with_the_ranges_that_are_left(
    begin: Begin, app: OpenApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await table(app, 1000)
    await one.execute("ANALYZE t")
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    cut(filling)
    looked, look = [0], inspection.Inspection._range

    async def broken_off(self: inspection.Inspection, *args: Any) -> tuple[int, int]:
        if looked[0] == 2:
            raise RuntimeError("as if the process had died")
        looked[0] += 1
        return await look(self, *args)

    monkeypatch.setattr(inspection.Inspection, "_range", broken_off)
    with pytest.raises(RuntimeError):
        await filling.verify()
    monkeypatch.setattr(inspection.Inspection, "_range", look)
    asked, ask = [0], looking.ask

    async def counted(*args: Any) -> Row | None:
        asked[0] += 1
        return await ask(*args)

    monkeypatch.setattr(looking, "ask", counted)
    passes = "SELECT count(*), count(finished_at) FROM osc.verification"
    assert await (await one.execute(passes)).fetchone() == (1, 0)
    assert (await filling.verify()).rows == 1000
    assert await (await one.execute(passes)).fetchone() == (1, 1)
    resumed, asked[0] = asked[0], 0
    await filling.verify()
    assert resumed < asked[0]


async def test_a_pass_during_which_a_trigger_was_off_is_not_taken_up_again(begin: Begin, app: OpenApp) -> None:
    one = await table(app, 100)
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    cut(filling)
    await filling.verify()
    await one.execute("UPDATE osc.verification SET finished_at = NULL")  # as if it had been broken off at its very end
    (name,) = await (await one.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass")).fetchone() or (
        "",
    )
    for how in ("DISABLE", "ENABLE ALWAYS"):
        await one.execute(f'ALTER TABLE t {how} TRIGGER "{name}"'.encode())
    await filling.verify()
    assert await (await one.execute("SELECT count(*) FROM osc.verification")).fetchone() == (2,)


def test_of_two_lanes_that_have_found_as_much_each_ends_its_own_look() -> None:
    first, second = looking.Verdict(rows=7), looking.Verdict(rows=7)
    running = [first, second]
    running.remove(second)
    first.rows += 7
    assert running == [first]
    running.remove(first)
