"""I16, I21 of a column that is dropped: whatever is killed, it goes or comes back as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from osc.errors import TryAgainLater
from osc.program import Phase
from tests.acceptance.bench import Bench

PLAN = """\
osc: 1
title: Quantities go
owner: stock-team
operations:
  - drop_column: {table: items, column: qty, down: length(note)}
"""
KEPT = PLAN + "contract: {keep_for: 1d}\n"
NEW = "INSERT INTO items (id, note) VALUES (1000, 'three')"


@pytest.mark.anyio
@pytest.mark.parametrize("point", ["transaction.after@2", "drop_index.before", "drop_index.after", "start.after@5"])
async def test_killed_forward_the_column_goes_all_the_same(
    bench: Bench, undisturbed: Callable[..., Any], point: str
) -> None:
    bench.plan_text = PLAN
    name, _, passage = point.partition("@")
    assert bench.killed("apply", f"{name}=kill9@{passage or 1}", to="contract")
    await bench.advance(Phase.CONTRACT)
    assert bench.end() == undisturbed(plan=PLAN)


@pytest.mark.anyio
@pytest.mark.parametrize("point", ["undo.after@2", "transaction.before@2", "transaction.after@3"])
async def test_killed_on_the_way_back_from_retired_nothing_is_lost(bench: Bench, point: str) -> None:
    bench.plan_text = KEPT
    schema, data = bench.schema, bench.data
    with pytest.raises(TryAgainLater):
        await bench.apply(Phase.CONTRACT)
    bench.do(NEW)
    name, _, passage = point.partition("@")
    assert bench.killed("rollback", f"{name}=kill9@{passage or 1}")
    await bench.rollback()
    assert (bench.schema, bench.state, bench.leftovers()) == (schema, "rolled_back", [])
    assert bench.data == [*data, ("(1000,5,three)",)]
