"""The shape of the state's code: what writes stands between two failpoints, or says here why a crash beside it is no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import osc.state
import osc.verbs
from osc.failpoints import PAIRS

STATE = Path(osc.state.__file__).parent
WRITES = re.compile(r"\b(INSERT INTO|UPDATE osc\.|DELETE FROM|osc\.(take_lease|record_event)\()")
QUERY = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)

BESIDE = {
    "heartbeat": "comes by the clock, so a crash before it is one at any time",
    "release": "where it does not happen the lease runs out, which every killed run shows",
    "register_executor": "for people: nothing is decided by it",
    "forget_executors": "housekeeping, asked again by whoever comes next",
    "record_backend": "stands before a session's first work, whose own points show both sides",
    "forget_backends": "of processes that are gone: found gone again by the next",
    "outdate": "followed by the row that says undone; a verification too few is taken again",
    "clear_poison": "counts again when the row is visited",
    "add_filled": "a count for people",
    "finish": "of a slice: the batch before it found nothing more, and would again",
    "add_ranges": "of a pass, for a partition that came meanwhile: found again by whoever takes it up",
    "note_range": "of a pass: looked at again where it is not noted",
    "let_go": "a slice that nobody let go of is claimed all the same, by its owner or once he is silent",
    "drop_skipped": "of a row that was visited: visited again",
    "waiting": "for people: what a step waits for",
    "progress": "for people: how far a step is",
    "drop_attempt": "stands between the points of undo",
    "resolve": "a person's single statement, repeated where its end was not seen",
    "record": "the history's own entry, for what is committed already",
}
"""Queries that write without a pair of their own."""


def writing_queries() -> set[str]:
    texts = (path.read_text() for path in STATE.glob("*.sql"))
    return {name for text in texts for name, body in QUERY.findall(text) if WRITES.search(body)}


def functions() -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for path in sorted(STATE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                yield f"{path.stem}.{node.name}", node


def strings(function: ast.AST) -> set[str]:
    return {str(node.value) for node in ast.walk(function) if isinstance(node, ast.Constant)}


def asked(function: ast.AST) -> set[str]:
    """Return the queries that the function runs by name."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {str(call.args[1].value) for call in calls
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("one", "all", "value", "run")
            and len(call.args) > 1 and isinstance(call.args[1], ast.Constant)}  # fmt: skip


WRITERS = {
    name: node for name, node in functions() if asked(node) & writing_queries() - set(BESIDE) or "_migrate" in name
}


def test_there_are_writers_and_no_exception_has_outlived_its_query() -> None:
    assert len(WRITERS) >= 15
    assert set(BESIDE) <= writing_queries()


@pytest.mark.parametrize("name", WRITERS)
def test_what_writes_the_state_stands_between_a_pair_of_failpoints(name: str) -> None:
    points = strings(WRITERS[name])
    assert any({f"{pair}.before", f"{pair}.after"} <= points for pair in PAIRS), name


@pytest.mark.parametrize("path", sorted(Path(osc.verbs.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_verbs_write_through_the_state_only(path: Path) -> None:
    """A verb with statements of its own would commit where no failpoint stands."""
    assert not WRITES.search(path.read_text())
