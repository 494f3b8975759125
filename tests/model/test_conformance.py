"""The replay of histories can fail: each way to write a history that no run could have written is noticed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from osc.state.events import Event as Entry
from osc.state.transitions import State
from tests.model.conformance import replay

Told = tuple[str, int | None, dict[str, Any]]


def moved(event: str, before: str, after: str, epoch: int = 1) -> Told:
    return "state", epoch, {"event": event, "from": before, "to": after}


def wished(target: str | None, direction: str = "forward") -> Told:
    return "target", None, {"target": target, "direction": direction}


REGISTERED: Told = ("register", None, {})
EXPANDED = [REGISTERED, wished("dual_write"), moved("begin:expand", "registered", "expanding"),
            moved("complete:expand", "expanding", "expanded")]  # fmt: skip
BACK = [*EXPANDED, wished(None, "back"), moved("rollback", "expanded", "rolling_back")]


def history(told: list[Told]) -> list[Entry]:
    return [
        Entry(n, 1, n, datetime.now(UTC), "w", "r", "c", epoch, kind, data, json.dumps(data), "", "")
        for n, (kind, epoch, data) in enumerate(told, 1)
    ]


def test_what_a_run_writes_is_explained() -> None:
    walked = replay(history([*BACK, moved("rolled_back", "rolling_back", "rolled_back", 2)]))
    assert (walked.wrong, walked.state, walked.completed) == ([], State.ROLLED_BACK, set())


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ([*EXPANDED, moved("begin:backfill", "expanded", "backfilling")], "not in the table"),
        ([*EXPANDED, moved("begin:dual_write", "expanded", "dual_write")], "not in the table"),
        ([*EXPANDED, moved("complete:dual_write", "entering_dual_write", "dual_write")], "but the change was expanded"),
        ([*EXPANDED, moved("begin:dual_write", "expanded", "entering_dual_write", 0)], "by epoch 0, when 1"),
        ([REGISTERED, moved("begin:expand", "registered", "expanding")], "nobody asked for expand"),
        ([*EXPANDED, moved("rollback", "expanded", "rolling_back")], "nobody asked for the way back"),
        ([*BACK, moved("undo-reached:switch", "rolling_back", "switched")], "switch was never complete"),
        ([*BACK, wished("contract")], "a wish that rolling_back does not take"),
        ([*EXPANDED, ("revise", 1, {"phases": ["expand"]})], "has begun was compiled anew"),
        ([*EXPANDED, ("takeover", 1, {"from_epoch": 1})], "the epoch did not grow"),
        ([*EXPANDED, ("magic", 1, {})], "a kind that nobody knows"),
        ([*EXPANDED, REGISTERED], "registered twice"),
        (EXPANDED[1:], "not at all"),
    ],
)  # fmt: skip
def test_what_no_run_could_have_written_is_noticed(told: list[Told], complaint: str) -> None:
    assert complaint in "\n".join(replay(history(told)).wrong)
