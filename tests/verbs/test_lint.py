"""Lint says everything at once: faults of files, rules, and with a database what tables and data have against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.verbs.lint import lint
from tests.verbs.conftest import PLAN

if TYPE_CHECKING:
    from pathlib import Path

    from osc.state.changes import Change
    from osc.verbs.session import Session

pytestmark = pytest.mark.anyio


async def test_a_good_plan_passes_without_a_database(session: Session) -> None:
    result = await lint(None, [PLAN])
    assert (result.exit_code, result.findings, result.checked_against_database) == (0, (), False)
    assert result.as_json()["ok"]


async def test_a_good_plan_passes_on_the_database_and_leaves_no_trace(
    session: Session, accounts: None, schemas: Any
) -> None:
    result = await lint(session, [PLAN])
    assert (result.exit_code, result.checked_against_database) == (0, True)
    assert not schemas()


async def test_a_file_that_is_no_plan_is_told_with_its_place_beside_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "00002_broken.yaml"
    broken.write_text("osc: 1\noperations:\n  - change_colum: {table: users}\n")
    result = await lint(None, [broken, PLAN])
    assert (result.exit_code, result.plans) == (2, (PLAN.stem,))
    (finding,) = result.findings
    assert finding.line().startswith(f"OSC-V101 {broken}:3:5 unknown operation 'change_colum'; did you mean")


async def test_tables_that_do_not_fit_are_findings_with_a_place(session: Session) -> None:
    result = await lint(session, [PLAN])  # there is no pgbench_accounts
    assert result.exit_code == 3
    assert all(finding.place is not None for finding in result.findings)


async def test_an_expression_that_the_server_refuses_is_found(session: Session, accounts: None, tmp_path: Path) -> None:
    plan = tmp_path / "00003_typo.yaml"
    plan.write_text(PLAN.read_text().replace("up: abalance::bigint", "up: abalanc::bigint"))
    result = await lint(session, [plan])
    assert result.exit_code == 3
    assert any("abalanc" in finding.message for finding in result.findings)


async def test_a_plan_that_is_registered_is_not_compiled_again(session: Session, change: Change) -> None:
    result = await lint(session, [PLAN])
    assert (result.exit_code, result.registered) == (0, (PLAN.stem,))
