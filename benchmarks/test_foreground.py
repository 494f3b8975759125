"""What the foreground benchmark makes of the application's transactions: windows, medians, a picture; without a server."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.foreground import Run, Window, chart, shown, summed_up
from osc.demo.latency import Sample

BEGUN = 1_000_000_000.0


def made_up() -> Run:
    """Return a run of three windows in which each second has 100 transactions, ten times as slow while the fill is on."""
    windows = [
        Window(False, BEGUN, BEGUN + 4),
        Window(True, BEGUN + 4, BEGUN + 8, filled=40_000, on_s=4),
        Window(False, BEGUN + 10, BEGUN + 14),
    ]
    due = [BEGUN + n / 100 for n in range(1_400)]
    samples = [
        Sample(at + (10 if 400 <= n < 800 else 1) / 1000, 10 if 400 <= n < 800 else 1) for n, at in enumerate(due)
    ]
    return Run("osc", 100_000, 20_000.0, windows, samples, 0, 12.34)


def test_medians_are_of_windows_and_the_rate_is_beside_that_without_load() -> None:
    row = summed_up(made_up())
    assert row["off"] == {"p50_ms": 1, "p99_ms": 1, "max_ms": 1}
    assert row["on"] == {"p50_ms": 10, "p99_ms": 10, "max_ms": 10}
    assert (row["p99_ratio"], row["rows_per_s"], row["share_of_alone"]) == (10.0, 10_000, 0.5)
    assert "osc" in shown([row])


def test_a_transaction_belongs_to_the_window_in_which_it_was_due() -> None:
    """A statement that waited until the fill was over waited for the fill."""
    window = Window(True, BEGUN, BEGUN + 4)
    assert window.latencies([Sample(BEGUN + 5, 2_000), Sample(BEGUN + 5, 500)]) == [2_000]


def test_the_picture_has_a_line_for_each_percentile_and_a_shade_for_each_window_with_the_fill_on() -> None:
    root = ElementTree.fromstring(chart(made_up()))
    name = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{name}polyline")
    assert [len(str(line.get("points")).split()) for line in lines] == [14, 14]
    assert [one.get("fill") for one in root.findall(f"{name}rect")].count("#e5e7eb") == 1
