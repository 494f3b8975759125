"""What a fill computes between two statements, timed without a server: ``pytest benchmarks --benchmark-only``.

What a lane does for each batch is small beside the 100 ms of server time that a batch aims at, and should stay so.
"""

from __future__ import annotations

import math

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from osc.executor.backfill.servo import SAMPLES, Servo
from osc.executor.backfill.waves import ROWS_TO_JUDGE, WAVES_MAX, Heap, Shares, Waves, shares
from osc.names import QName
from osc.sql import batch, keyset
from osc.sql.filled import Filled
from osc.sql.keyset import KeyColumn
from osc.sql.pages import ByBlock, ByKey, Page, block_of, position

TABLE = QName(schema="public", name="items")
BIGINT = (KeyColumn(name="id", type="pg_catalog.int8"),)
COMPOSITE = (
    KeyColumn(name="tenant", type="pg_catalog.uuid"),
    KeyColumn(name="name", type="pg_catalog.text", collation='pg_catalog."C"'),
    KeyColumn(name="id", type="pg_catalog.int8"),
)
FILLED = (Filled("total", "items.amount::bigint"), Filled("slug", "lower(items.name)"))
PAGES: dict[str, Page] = {
    "key": ByKey(TABLE, BIGINT),
    "composite key": ByKey(TABLE, COMPOSITE),
    "blocks": ByBlock(TABLE, BIGINT),
}


def test_the_servo_learns_from_a_batch(benchmark: BenchmarkFixture) -> None:
    """With all its samples there, and costs that rise and fall, so that the percentile moves and the size with it."""
    servo = Servo(target_ms=100, rows=2_000, rows_min=1, rows_max=20_000)
    costs = [0.05 * (1 + 0.4 * math.sin(n)) for n in range(100)]

    def a_hundred() -> None:
        for ms_a_row in costs:
            servo.took(rows=servo.rows, ms=servo.rows * ms_a_row, filled=servo.rows, wal_bytes=servo.rows * 300)

    benchmark(a_hundred)
    assert len(servo._costs) == SAMPLES
    assert 1_000 < servo.rows < 4_000


def test_shares_are_cut_for_a_heap(benchmark: BenchmarkFixture) -> None:
    heap = Heap(blocks=17_000, rows_per_block=58.0, free_share=0.02, indexes=5, follows_the_key=True)
    assert 1 < len(benchmark(shares, heap)) <= WAVES_MAX


def test_waves_judge_a_round(benchmark: BenchmarkFixture) -> None:
    """One round: as many waves as there can be through four windows, then the judgement."""
    waves = Waves(WAVES_MAX)

    def a_round() -> Shares:
        for _ in range(4 * (WAVES_MAX - 1)):
            waves.took(ROWS_TO_JUDGE, ROWS_TO_JUDGE)
        return waves.round_begins()

    assert benchmark(a_round) == Shares.equal(WAVES_MAX)
    assert not waves.is_in_vain


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_statements_of_a_walk_are_composed(benchmark: BenchmarkFixture, page: Page) -> None:
    """Once a plan and not once a batch; four statements with their guard."""

    def compose() -> list[str]:
        make = (batch.plain, batch.skipping, batch.wave, batch.revisit)
        return [one(page, FILLED, guard="osc.fires('public.items')") for one in make]

    statements = benchmark(compose)
    assert all("UPDATE osc.slice AS s" in sql for sql in statements)
    assert len(set(statements)) == 4


def test_a_position_in_the_heap_there_and_back(benchmark: BenchmarkFixture) -> None:
    blocks = range(0, 1 << 32, 1 << 25)

    def there_and_back() -> list[int]:
        return [block_of(position(block)) for block in blocks]

    assert benchmark(there_and_back) == list(blocks)


@pytest.mark.parametrize("key", [BIGINT, COMPOSITE], ids=["bigint", "composite"])
def test_the_cursor_of_a_key_is_composed(benchmark: BenchmarkFixture, key: tuple[KeyColumn, ...]) -> None:
    """The server encodes cursors; here is the SQL that makes it do so, and the conditions that read them."""

    def compose() -> tuple[str, str, str]:
        return keyset.as_cursor(key, "i"), keyset.after(key, "i"), keyset.up_to(key, "i")

    cursor, after, up_to = benchmark(compose)
    assert cursor.count("::text") == len(key)
    assert keyset.LO in after
    assert keyset.HI in up_to
