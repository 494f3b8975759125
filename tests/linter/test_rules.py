"""Each rule speaks where it should and is silent where it should be."""

from __future__ import annotations

import pytest

from osc.errors import Severity
from osc.linter import as_json, as_lines, findings_offline, lint_rules
from osc.plan.load import open_text
from tests.plan.kinds import KINDS

CHANGE = "change_column: {table: t, column: a, to: b}"
GATES = "switch: {require: [{ack: app}, {approval: dba}]}\ncontract: {after: 7d}\n"

CASES = {
    "nothing to say": ([CHANGE, "create_index: {table: t, name: i, keys: [b]}"], GATES, []),
    "same column twice": ([CHANGE, "change_column: {table: t, column: a, to: c}"], GATES, ["V131"]),
    "same name, other table": ([CHANGE, "change_column: {table: u, column: a, to: b}"], GATES, []),
    "added, then changed": (
        ["add_column: {table: t, column: a, type: int}", "change_column: {table: t, column: a}"],
        GATES,
        [],
    ),
    "column made twice": ([CHANGE, "add_column: {table: t, column: b, type: int}"], GATES, ["V132"]),
    "index made twice": (
        ["create_index: {table: t, name: i, keys: [x]}", "create_index: {table: u, name: i, keys: [x]}"],
        "",
        ["V132"],
    ),
    "index on the old name": ([CHANGE, "create_index: {table: t, name: i, keys: [a]}"], GATES, ["V134"]),
    "index entry on the old name": (
        [CHANGE, "create_index: {table: t, name: i, keys: [{column: a}]}"],
        GATES,
        ["V134"],
    ),
    "index before the change": (["create_index: {table: t, name: i, keys: [a]}", CHANGE], GATES, []),
    "contract without a gate": ([CHANGE], "switch: {require: [{ack: a}]}\n", ["V160"]),
    "contract with keep_for": ([CHANGE], "switch: {require: [{ack: a}]}\ncontract: {keep_for: 1d}\n", []),
    "switch without a gate": ([CHANGE], "contract: {after: 1d}\n", ["V161"]),
    "nothing dropped, nothing switched": (["add_column: {table: t, column: a, type: int}"], "", []),
    "no way back": (
        ["change_column: {table: t, column: a, down: none}"],
        "switch: {require: [{ack: a}]}\ncontract: {after: 1d}\n",
        ["V162"],
    ),
    "no way back, approved": (["change_column: {table: t, column: a, down: none}"], GATES, []),
    "run without undo": ([CHANGE], GATES + "expand: {run: [{sql: a}, {sql: a, undo: b}]}\n", ["V163"]),
    "concurrently in a transaction": (
        [CHANGE],
        GATES + "expand: {run: [{sql: REINDEX INDEX CONCURRENTLY i, undo: SELECT 1}]}\n",
        ["V152"],
    ),
    "concurrently on the way back": (
        [CHANGE],
        GATES + "expand: {run: [{sql: SELECT 1, undo: DROP INDEX CONCURRENTLY i}]}\n",
        ["V152"],
    ),
    "concurrently outside of one": (
        [CHANGE],
        GATES + "expand: {run: [{sql: REINDEX INDEX CONCURRENTLY i, undo: SELECT 1, transaction: false}]}\n",
        [],
    ),
    "a lock without a transaction": (
        [CHANGE],
        GATES + "expand: {run: [{sql: VACUUM t, undo: SELECT 1, transaction: false, lock: t}]}\n",
        ["V155"],
    ),
    "one transaction a table": (
        [CHANGE],
        "switch: {require: [{ack: a}], per_table: true}\ncontract: {after: 1d}\n",
        ["V170"],
    ),
    "a limit that nobody keeps": ([CHANGE], GATES.replace("}]}", "}], per_table: true}", 1), ["V170"]),
}


@pytest.mark.parametrize(("operations", "rest", "expected"), CASES.values(), ids=CASES)
def test_a_rule_speaks_where_it_should(operations: list[str], rest: str, expected: list[str]) -> None:
    text = "osc: 1\noperations:\n" + "".join(f"  - {one}\n" for one in operations) + rest
    file = open_text(text, "00001_x.yaml", KINDS)
    found = file.placed(findings_offline(file.plan))
    assert [finding.code for finding in found] == expected
    assert all(finding.place is not None and finding.hint for finding in found)
    assert all(finding.path[: 1 + len(finding.path) // 3] for finding in found)


def test_every_rule_says_why() -> None:
    rules = lint_rules()
    assert len({rule.ID for rule in rules}) == len(rules) >= 6
    assert all(rule.WHY for rule in rules)


def test_a_report_counts_and_says_what_was_not_checked() -> None:
    text = f"osc: 1\noperations:\n  - {CHANGE}\n  - add_column: {{table: t, column: b, type: int}}\n"
    file = open_text(text, "00001_x.yaml", KINDS)
    found = file.placed(findings_offline(file.plan))
    lines = as_lines(found, offline=True)
    assert lines[-1] == "1 error, 2 warnings; not checked against a database"
    assert lines[0].startswith("warning: OSC-V160 00001_x.yaml:1:1 ")
    assert any(line.startswith("OSC-V132 00001_x.yaml:4:28 ") for line in lines)
    data = as_json(found)
    assert (data["ok"], data["errors"], data["warnings"]) == (False, 1, 2)
    assert {finding.severity for finding in found} == set(Severity)
    assert as_lines([]) == ["nothing found"]
