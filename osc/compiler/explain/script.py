"""A Program as a script that psql can read: statements as they are, everything that needs osc to run it as comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.compiler.explain.release import header
from osc.compiler.explain.statements import Statement, assertions, backward, forward, lock_lines
from osc.program import DdlStep, GateStep, Phase, ProbeStep, Program, SqlStep, Step, SwitchStep
from osc.sql.locks import Lock
from osc.sql.message import lock_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABOUT = (
    "For reading and review. osc runs each step under its lock gate (lock_timeout, no queue behind long transactions),",
    "fenced and journalled; psql does neither. Gates, batches and verifications are comments here.",
)


def as_script(program: Program) -> str:
    """Return the script; run on an empty copy of the tables it makes the schema that the change makes."""
    lines = [f"-- {program.plan_id} {program.title}".rstrip(), *(f"-- {line}" for line in _ABOUT), "--"]
    lines += [f"-- {label}: {text}" for label, text in header(program)]
    lines += ["", "\\set ON_ERROR_STOP on", "SET search_path = pg_catalog;"]
    for number, phase in enumerate(Phase, 1):
        steps = program.phase(phase).steps
        lines += ["", f"-- ==== {number} {phase} " + "=" * 60]
        lines += [] if steps else ["-- nothing to do"]
        for position, step in enumerate(steps, 1):
            lines += ["", *_step(f"{number}.{position}", step)]
    return "\n".join(lines) + "\n"


def _step(number: str, step: Step) -> Iterator[str]:
    yield from _comment(f"{number} {step.title}")
    yield from _comment(f"takes: {step.duration.value}")
    for line in lock_lines(step):
        yield from _comment(f"lock: {line}")
    for one in assertions(step):
        yield from _comment(f"refused if {one.message}; it is so unless:\n{one.condition}")
    if isinstance(step, GateStep):
        yield from _comment(f"gate: {step.gate_kind} {step.gate}")
    if isinstance(step, DdlStep | SqlStep | SwitchStep) and not (isinstance(step, SqlStep) and not step.transaction):
        yield from _transaction(step)
    else:
        for statement in forward(step):
            yield from _statement(step, statement)
    yield from _undo(step)


def _transaction(step: DdlStep | SqlStep | SwitchStep) -> Iterator[str]:
    if not step.sql:
        return
    yield "BEGIN;"
    yield from (lock_table(lock) for lock in step.locks if lock.mode is not Lock.NONE)
    yield from (_ended(sql) for sql in step.sql)
    yield "COMMIT;"


def _statement(step: Step, statement: Statement) -> Iterator[str]:
    if statement.executable and not isinstance(step, GateStep | ProbeStep):
        yield _ended(statement.sql)
        return
    yield from _comment(": ".join(filter(None, (statement.purpose, statement.parameters))) or "read only")
    yield from _comment(statement.sql)


def _undo(step: Step) -> Iterator[str]:
    statements = backward(step)
    if statements is None:
        yield "-- undo: none, there is no way back behind this step"
    elif statements:
        yield "-- undo:"
        for sql in statements:
            yield from _comment(_ended(sql))


def _ended(sql: str) -> str:
    # On a line of its own, because the author's text may end in a comment.
    return f"{sql.rstrip()}\n;" if "--" in sql.rstrip().splitlines()[-1] else f"{sql.rstrip()};"


def _comment(text: str) -> list[str]:
    return [f"-- {line}".rstrip() for line in text.splitlines()]
