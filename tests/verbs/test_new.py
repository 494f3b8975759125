"""New writes a plan that lint accepts, and never overwrites anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from osc.errors import Conflict, UsageError
from osc.operations import operation_kinds
from osc.plan import SCHEMA_FILE, load_plan
from osc.verbs.new import new
from osc.verbs.schema import schema

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", sorted(operation_kinds()))
def test_every_kind_of_operation_gives_a_plan_that_loads(tmp_path: Path, kind: str) -> None:
    written = new(kind, "00007_it", table="shop.orders", directory=tmp_path / "plans")
    plan = load_plan(written.plan)
    assert plan.operations[0].kind == kind
    assert json.loads((tmp_path / "plans" / SCHEMA_FILE).read_text()) == schema()


def test_a_plan_that_is_there_is_kept(tmp_path: Path) -> None:
    mine = tmp_path / "00007_it.yaml"
    mine.write_text("mine\n")
    with pytest.raises(Conflict, match="there already"):
        new("change_column", "00007_it", directory=tmp_path)
    assert mine.read_text() == "mine\n"


def test_a_schema_of_another_version_is_kept_and_told(tmp_path: Path) -> None:
    (tmp_path / SCHEMA_FILE).write_text("{}")
    written = new("change_column", "00007_it", directory=tmp_path)
    assert "osc schema >" in written.message
    assert (tmp_path / SCHEMA_FILE).read_text() == "{}"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        new("change_column", "00007_it", directory=tmp_path / "file")
