"""The shape of the executor's code: who sends work to the server stands between two failpoints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import osc.executor
from osc.failpoints import PAIRS

EXECUTOR = Path(osc.executor.__file__).parent
SENDING = {"run_long", "_through_the_gate", "transaction_message"}
"""Calls that change the application's tables, or make the text that does."""
MAKING_TEXT = {"message"}
"""A method that only makes the text for the gate to send."""


def functions() -> Iterator[tuple[str, ast.AsyncFunctionDef | ast.FunctionDef]]:
    for path in sorted(EXECUTOR.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name not in MAKING_TEXT:
                yield f"{path.relative_to(EXECUTOR)}:{node.name}", node


def called(function: ast.AST) -> set[str]:
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {node.id for node in calls if isinstance(node, ast.Name)}


def passed(function: ast.AST) -> set[str]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return {
        str(call.args[0].value)
        for call in calls
        if call.func.id == "failpoint" and isinstance(call.args[0], ast.Constant)
    }  # type: ignore[attr-defined]


SENDERS = {name: node for name, node in functions() if called(node) & SENDING}


def test_there_are_senders() -> None:
    assert len(SENDERS) >= 4


@pytest.mark.parametrize("name", SENDERS)
def test_who_sends_work_stands_between_a_pair_of_failpoints(name: str) -> None:
    points = passed(SENDERS[name])
    assert any({f"{pair}.before", f"{pair}.after"} <= points for pair in PAIRS), points
