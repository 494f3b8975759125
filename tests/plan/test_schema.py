"""The JSON Schema is draft-07, says what the loader says, and holds for every example plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from osc.operations import operation_kinds
from osc.plan import json_schema, load_directory, load_text, new_plan
from osc.plan.schema import known_keys
from tests.plan.kinds import KINDS, PLAN
from tests.plan.test_model import WHOLE

PLANS = Path(__file__).parents[2] / "plans"


def errors(schema: dict[str, Any], text: str) -> list[str]:
    data = YAML(typ="safe", pure=True).load(text)
    return [error.message for error in Draft7Validator(schema).iter_errors(data)]


def test_it_is_a_schema_of_draft_07_without_newer_words() -> None:
    schema = json_schema()
    Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not any(word in text for word in ("$defs", "prefixItems", "unevaluated"))


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_plan_fits(path: Path) -> None:
    assert errors(json_schema(), path.read_text()) == []


def test_every_example_plan_loads() -> None:
    assert [plan.id for plan in load_directory(PLANS)] == [
        "00001_pgbench_balance",
        "00002_orders_total_bigint",
        "00003_users_mail_to_email",
        "00004_users_public_id",
        "00005_users_email_domain",
        "00006_orders_one_open_basket",
        "00007_orders_note",
        "00008_orders_legacy_code",
        "00009_orders_state_not_null",
        "00042_users_verified_at",
    ]


def test_a_plan_with_everything_fits() -> None:
    assert errors(json_schema(KINDS), WHOLE) == []


@pytest.mark.parametrize(
    "text",
    [
        PLAN + "titel: a\n",
        PLAN.replace("table", "tabel"),
        PLAN.replace("change_column", "chang_column"),
        PLAN.replace("osc: 1", "osc: 2"),
        PLAN + "title: null\n",
        PLAN + "backfill: {parallel: 65}\n",
        PLAN + "backfill: {speed: 2}\n",
        PLAN + "backfill: {batch_target: 5}\n",
        PLAN + "switch: {require: [{ack: a, approval: b}]}\n",
        "osc: 1\noperations: []\n",
        "osc: 1\noperations: [{}]\n",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text: str) -> None:
    assert errors(json_schema(KINDS), text)


def test_known_keys_are_told_at_any_depth() -> None:
    schema = json_schema(KINDS)
    assert "operations" in known_keys(schema, ())
    assert "column" in known_keys(schema, ("operations", 0, "change_column"))
    assert known_keys(schema, ("operations", 3, "create_index", "keys", 0)) == ("column", "expression", "order")


@pytest.mark.parametrize("kind", operation_kinds())
def test_a_starter_plan_of_every_kind_loads_and_fits(kind: str) -> None:
    text = new_plan(kind, "00005_try_it")
    lines = text.splitlines()
    assert lines[0] == "# yaml-language-server: $schema=./osc-plan.schema.json"
    assert lines[1] == "# $schema: ./osc-plan.schema.json"
    assert load_text(text, "00005_try_it.yaml").operations[0].kind == kind
    assert errors(json_schema(), text) == []


def test_a_starter_plan_names_the_table() -> None:
    text = new_plan("change_column", "00005_try_it", table='app."Odd: name"', kinds=KINDS)
    (table,) = load_text(text, "00005_try_it.yaml", KINDS).operations[0].tables()
    assert (table.schema, table.name) == ("app", "Odd: name")
