"""Latencies as pgbench logs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.demo.latency import LogTail, Sample, parse, percentile, within

if TYPE_CHECKING:
    from pathlib import Path


def test_a_line_says_when_a_transaction_ended_and_how_long_it_took() -> None:
    assert list(parse(["0 1 7137 0 1795341461 782820 67"])) == [Sample(1795341461.78282, 7.137)]


def test_a_failed_transaction_is_no_latency() -> None:
    assert list(parse(["0 1 deadlock 0 1795341461 782820", "0 1 skipped 0 1795341461 782820 5"])) == []


def test_a_line_that_is_not_whole_yet_waits_for_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.1"
    tail = LogTail(log)
    assert tail.read() == []  # pgbench makes the file only when it begins
    log.write_text("0 1 1000 0 10 0 1\n0 2 2000 0 1")
    assert [sample.ms for sample in tail.read()] == [1.0]
    with log.open("a") as out:
        out.write("1 0 1\n")
    assert tail.read() == [Sample(11.0, 2.0)]
    assert tail.read() == []


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.99, 0.0), ([5.0], 0.5, 5.0), ([3.0, 1.0, 2.0], 0.5, 2.0), ([float(n) for n in range(1, 101)], 0.99, 99.0)],
)
def test_a_percentile_is_a_value_that_occurred(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_a_span_takes_what_ended_in_it() -> None:
    assert within([Sample(1.0, 1), Sample(2.0, 2), Sample(3.0, 3)], 2.0, 3.0) == [2]
