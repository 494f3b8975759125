"""Every example plan compiles, is proven and goes as far as its gates let it, on tables such as it was written for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from osc.errors import Severity
from osc.linter.rule import check
from osc.plan import open_plan
from osc.program import Phase
from osc.program.model import Program

if TYPE_CHECKING:
    from tests.operations.lab import Lab

PLANS = sorted((Path(__file__).parents[2] / "plans").glob("*.yaml"))
TABLES = """
CREATE TABLE pgbench_accounts (aid integer PRIMARY KEY, bid integer, abalance integer, filler character(84));
CREATE TABLE users (id bigint PRIMARY KEY, mail text NOT NULL UNIQUE,
    is_verified boolean DEFAULT false NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES users, state text, legacy_code text NOT NULL,
    total_cents integer DEFAULT 0 NOT NULL CHECK (total_cents >= 0));
INSERT INTO pgbench_accounts SELECT n, 1, n FROM generate_series(1, 20) AS n;
INSERT INTO users SELECT n, n || '@example.org', n % 2 = 0, now() FROM generate_series(1, 20) AS n;
INSERT INTO orders SELECT n, n, 'open', 'code ' || n, n FROM generate_series(1, 20) AS n;
DO $$ BEGIN CREATE ROLE support; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
"""


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_it_compiles_and_runs_to_the_end_of_backfill_and_back(lab: Lab, path: Path) -> None:
    lab.run(TABLES)
    before = lab.dump()
    lab.plan_id, lab.directory = path.stem, path.parent
    made = lab.compile().program
    assert Program.model_validate_json(made.model_dump_json()) == made
    lab.apply(Phase.DUAL_WRITE)
    lab.ack(*[gate.name for gate in made.gates if gate.kind == "ack"])
    lab.apply(Phase.BACKFILL)
    lab.back()
    assert lab.dump() == before


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_linter_has_nothing_against_it(path: Path) -> None:
    found = check(open_plan(path).plan)
    assert [finding.line() for finding in found if finding.severity is Severity.ERROR] == []
