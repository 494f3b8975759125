"""What stands in the SQL of every step, and in which order: the words that would hide what happened are in none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from osc.program import DdlStep, FillStep, IndexStep, Phase, Program, ValidateStep, VerifyStep
from tests.operations.test_examples import PLANS, TABLES

if TYPE_CHECKING:
    from tests.operations.lab import Lab

HIDING = {
    "IF NOT EXISTS": "a carcass or a stranger's object is taken for what was wanted (F33)",
    "IF EXISTS": "what was to be dropped is somewhere else",
    "CASCADE": "what depends on it goes unasked (B26)",
    "DO NOTHING": "a conflict is swallowed (I8)",
}
ASKING = re.compile(r"\bIF (NOT )?EXISTS \(SELECT")
"""PL/pgSQL that asks a question, which is another thing."""


def program(lab: Lab, path: Path) -> Program:
    lab.run(TABLES)
    lab.plan_id, lab.directory = path.stem, path.parent
    return lab.compile().program


def texts(program: Program) -> Iterator[tuple[str, str]]:
    """Yield every SQL text that would run, with its step."""
    for step in program.steps():
        data = step.model_dump()
        if isinstance(step, IndexStep):
            yield step.id, step.create_sql("osc_built")
        for name in ("sql", "undo", "batch", "skipping", "revisit", "pass_over", "count", "sample"):
            found = data.get(name) or ()
            yield from ((step.id, text) for text in ((found,) if isinstance(found, str) else found))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_no_statement_hides_what_happened(lab: Lab, path: Path) -> None:
    for step, text in texts(program(lab, path)):
        said = ASKING.sub("", text).upper()
        assert [word for word in HIDING if word in said] == [], (step, text)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_indexes_and_constraints_come_behind_fill_and_verification(lab: Lab, path: Path) -> None:
    """F50: before it, an unrelated update of an unfilled row would fail, and every batch would write the index."""
    steps = program(lab, path).phase(Phase.BACKFILL).steps
    filling = [n for n, step in enumerate(steps) if isinstance(step, FillStep | VerifyStep)]
    finishing = [
        n
        for n, step in enumerate(steps)
        if isinstance(step, IndexStep | ValidateStep)
        or (isinstance(step, DdlStep) and "ADD CONSTRAINT" in str(step.sql))
    ]
    assert not filling or not finishing or max(filling) < min(finishing), [step.id for step in steps]


def test_the_examples_have_something_to_put_in_order(lab: Lab) -> None:
    changed = program(lab, next(path for path in PLANS if path.stem == "00002_orders_total_bigint"))
    kinds = {step.kind for step in changed.phase(Phase.BACKFILL).steps}
    assert {"fill", "verify", "validate"} <= kinds
