"""The comparison of fills runs, with few rows: each method beside the others, and what it says of each."""

from __future__ import annotations

import json

import pytest

from benchmarks import backfill
from benchmarks.methods import OSC

ONE_LIST = {
    "method",
    "rows",
    "seconds",
    "rows_per_s",
    "wal_bytes",
    "size_before",
    "size_after",
    "hot_share",
    "client_cpu_share",
    "peak_rss_mb",
}


def test_each_method_of_ours_is_measured_beside_one_update(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["backfill", "--rows", "2000", "--rounds", "1", "--json", "--only", "one-update", *OSC]
    monkeypatch.setattr("sys.argv", command)
    backfill.main()
    found = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in found] == ["one-update", *OSC]
    for row in found:
        assert row.keys() >= ONE_LIST
        assert row["rows_per_s"] > 0
        assert row["method"] == "one-update" or 0 < row["outside_sql_share"] < 1
