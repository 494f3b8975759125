"""Samples of what was verified: some pages here and there, each sample others, whatever table it is."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from osc.executor.backfill.sampling import Sample, Sampled, block_places, chosen, is_small
from osc.executor.backfill.waves import Heap

if TYPE_CHECKING:
    from tests.backfill.conftest import Begin, Filling, OpenApp

TO_INT = "- change_column: {table: t, column: s, to: n, type: integer, up: 's::int', down: 'n::text'}"
PAGES, ROWS = 2, 50
DEFINITIONS = {
    "a key": ("CREATE TABLE t (id int PRIMARY KEY, s text)", ""),
    "a key that is scattered": ("CREATE TABLE t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), i int, s text)", ""),
    "no key": ("CREATE TABLE t (i int, s text)", "backfill: {walk: blocks}"),
}
LEAVES = (
    "CREATE TABLE t (id int PRIMARY KEY, s text) PARTITION BY RANGE (id);"
    " CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (500); CREATE TABLE t2 PARTITION OF t DEFAULT"
)


async def taken(filling: Filling, seed: int = 0, pages: int = PAGES, rows: int = ROWS) -> Sampled:
    """Take one sample of the table."""
    lead = filling.lead
    lead.executor.settings = replace(lead.settings, sample_pages=pages, sample_rows=rows, sample_page_ms=5_000)
    sample = Sample(lead, [filling.verify_step], random.Random(seed))
    try:
        await sample.begin()
        for _ in range(100):
            if await sample.page():
                return sample.found[0]
    finally:
        await sample.close()
    raise AssertionError("the sample never ends")


@pytest.mark.anyio
@pytest.mark.both_versions
@pytest.mark.parametrize("what", DEFINITIONS)
async def test_a_sample_of_a_large_table_is_small_and_elsewhere_each_time(
    begin: Begin, app: OpenApp, what: str
) -> None:
    definition, rest = DEFINITIONS[what]
    one = await app()
    await one.execute(definition.encode())
    columns = "id, s" if what == "a key" else "i, s"
    await one.execute(f"INSERT INTO t ({columns}) SELECT i, i::text FROM generate_series(1, 4000) AS i".encode())
    await one.execute("ANALYZE t")
    filling = await begin(TO_INT, rest)
    found = [await taken(filling, seed) for seed in range(4)]
    for seen in found:
        assert 0 < seen.rows == seen.mismatches < 600, "none of them is filled"
        assert seen.keys
    assert len({str(seen.keys) for seen in found}) > 1


@pytest.mark.anyio
@pytest.mark.both_versions
async def test_a_small_table_is_looked_at_as_a_whole(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 90) AS i")
    filling = await begin(TO_INT)
    await filling.walk(await filling.lane())
    await one.execute("UPDATE t SET s = '1000', n = 2000 WHERE id IN (3, 88)")
    seen = await taken(filling, rows=90)
    assert (seen.rows, seen.mismatches, seen.keys) == (90, 2, [["3"], ["88"]])


@pytest.mark.anyio
async def test_an_estimate_that_is_too_low_does_not_make_a_sample_long(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text) WITH (autovacuum_enabled = off)")
    await one.execute("ANALYZE t")
    filling = await begin(TO_INT)
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 3000) AS i")
    await one.execute("UPDATE pg_class SET relpages = 1, reltuples = 1 WHERE relname = 't'")
    seen = await taken(filling)
    assert seen.rows <= 2 * PAGES * ROWS


@pytest.mark.anyio
@pytest.mark.both_versions
async def test_leaves_are_sampled_one_by_one(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute(LEAVES.encode())
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 4000) AS i; ANALYZE t")
    filling = await begin(TO_INT)
    found = [await taken(filling, seed) for seed in range(4)]
    assert all(0 < seen.rows == seen.mismatches <= PAGES * ROWS for seen in found)
    keys = [int(key[0]) for seen in found for key in seen.keys]
    assert min(keys) < 500 <= max(keys)


@pytest.mark.anyio
async def test_a_row_for_which_the_expression_raises_is_out_of_step(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 50) AS i")
    filling = await begin(TO_INT)
    await one.execute("UPDATE t SET s = 'seven' WHERE id = 7")
    assert (await taken(filling)).mismatches == 1


@pytest.mark.anyio
async def test_a_page_that_takes_too_long_is_left_out_and_the_next_is_smaller(begin: Begin, app: OpenApp) -> None:
    one = await app()
    await one.execute("CREATE TABLE t (id int PRIMARY KEY, s text)")
    await one.execute("INSERT INTO t SELECT i, i::text FROM generate_series(1, 50) AS i")
    filling = await begin(TO_INT)
    slow = "SELECT count(*), 0, NULL FROM pg_sleep(CASE WHEN $2 > 20 THEN 9 ELSE 0 END) WHERE $1::text[] IS NULL AND $3::text[] IS NULL"
    filling.verify_step = filling.verify_step.model_copy(update={"count": slow})
    lead = filling.lead
    lead.executor.settings = replace(lead.settings, sample_rows=80, sample_page_ms=100)
    sample = Sample(lead, [filling.verify_step, filling.verify_step])
    try:
        await sample.begin()
        while not await sample.page():
            pass
    finally:
        await sample.close()
    assert [one.rows for one in sample.found] == [0, 1]


def test_places_are_chosen_at_random_and_kept_in_order() -> None:
    places = [None, *([str(n)] for n in range(20))]
    found = [chosen(places, 5, random.Random(seed)) for seed in range(20)]
    assert all(len(one) == 5 and one == sorted(one, key=places.index) for one in found)
    assert {str(place) for one in found for place in one} == {str(place) for place in places}
    assert chosen([None], 5, random.Random(0)) == [None]


def test_blocks_are_chosen_at_random_and_once_each() -> None:
    assert block_places(3, 8, random.Random(0)) == [["(0,0)"], ["(1,0)"], ["(2,0)"]]
    found = [block_places(100, 4, random.Random(seed)) for seed in range(200)]
    assert {str(place) for one in found for place in one} == {str([f"({n},0)"]) for n in range(100)}


@pytest.mark.parametrize(("blocks", "small"), [(0, True), (10, True), (20, True), (21, False)])
def test_a_table_is_small_that_so_many_pages_hold(blocks: int, small: bool) -> None:
    heap = Heap(blocks=blocks, rows_per_block=50.0, free_share=0.0, indexes=1)
    assert is_small(heap, 10, 100) is small
