"""Explain shows the program for this database, or the registered one once there is one; it only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from osc.errors import InvalidPlan, Refused
from osc.program import Program
from osc.verbs.explain import explain
from tests.verbs.conftest import PLAN

if TYPE_CHECKING:
    from pathlib import Path

    from osc.state.changes import Change
    from osc.verbs.session import Session
    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio


async def test_it_compiles_for_this_database_and_only_reads(session: Session, accounts: None, schemas: Any) -> None:
    found = await explain(session, PLAN)
    assert (found.program.plan_id, found.registered) == (PLAN.stem, "")
    assert not schemas()


async def test_its_json_is_the_program(session: Session, accounts: None) -> None:
    found = await explain(session, PLAN)
    assert Program.model_validate(found.as_json()["program"]) == found.program


async def test_a_registered_plan_shows_the_program_that_runs(
    session: Session, change: Change, connect: Connect
) -> None:
    connect().execute("ALTER TABLE pgbench_accounts ADD COLUMN balance bigint")  # compiling anew would be refused
    found = await explain(session, PLAN)
    assert found.registered == "registered"
    assert found.program.hash() == change.program_hash


async def test_an_edited_plan_is_warned_about(session: Session, change: Change, tmp_path: Path) -> None:
    edited = tmp_path / PLAN.name
    edited.write_text(PLAN.read_text().replace("_balance_idx", "_other_idx"))
    found = await explain(session, edited)
    assert [finding.code for finding in found.warnings] == ["S201"]


async def test_tables_that_do_not_fit_refuse(session: Session) -> None:
    with pytest.raises(Refused) as refused:
        await explain(session, PLAN)
    assert refused.value.findings[0].place


async def test_a_missing_file_is_an_invalid_plan(session: Session) -> None:
    with pytest.raises(InvalidPlan):
        await explain(session, PLAN.with_name("00009_none.yaml"))
