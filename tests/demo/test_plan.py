"""The demo's plan is the example plan, one text in two places: a wheel has no folder plans."""

from __future__ import annotations

from pathlib import Path

from osc.demo.bank import PLAN_ID
from osc.demo.statements import text

EXAMPLE = Path(__file__).parents[2] / "plans" / "00001_pgbench_balance.yaml"


def test_the_plan_in_the_package_is_the_example() -> None:
    assert text("plan.yaml") == EXAMPLE.read_text(encoding="utf-8")


def test_its_id_is_the_name_of_the_example() -> None:
    assert EXAMPLE.stem == PLAN_ID
