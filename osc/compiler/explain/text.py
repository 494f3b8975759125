"""A Program as plain text: a header, the release timeline, then each phase with its steps."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from osc.compiler.explain.release import header, timeline
from osc.compiler.explain.statements import abridged, assertions, backward, forward, lock_lines, plural
from osc.program import FillStep, GateStep, Phase, Program, Step, VerifyStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.errors import Finding

SQL_LINES_MAX = 40
"""A trigger function has a hundred lines; what it is for stands in the title, the whole of it in ``--sql``."""
SQL_HEAD = 3
UNDO_HEAD = 1
_STEP = "       "
_SQL = "         "


def as_text(program: Program, warnings: Sequence[Finding] = (), *, whole: bool = False) -> str:
    """Return the program for a terminal; ``whole`` leaves nothing of the SQL out."""
    lines = [f"{program.plan_id}  {program.title}".rstrip(), ""]
    lines += [f"  {label:<19} {text}" for label, text in header(program)]
    lines += ["", *_timeline(program)]
    for number, phase in enumerate(Phase, 1):
        lines += ["", *_phase(program, number, phase, whole=whole)]
    lines += _section("notes", [f"- {note}" for note in program.notes])
    lines += _section("warnings", [f"- {finding.line()}" for finding in warnings])
    return "\n".join(lines) + "\n"


def _timeline(program: Program) -> Iterator[str]:
    yield f"  {'once complete':<19} " + " ".join(f"{phase:<11}" for phase in Phase).rstrip()
    for row in timeline(program):
        yield f"  {row.label:<19} " + " ".join(f"{word:<11}" for word in row.words).rstrip()


def _phase(program: Program, number: int, phase: Phase, *, whole: bool) -> Iterator[str]:
    steps = program.phase(phase).steps
    yield f"{number} {phase.upper()}  {plural(len(steps), 'step') if steps else 'nothing to do'}"
    for position, step in enumerate(steps, 1):
        yield ""
        yield from _step(f"{number}.{position}", step, whole=whole)


def _step(number: str, step: Step, *, whole: bool) -> Iterator[str]:
    yield f"  {number:<4} {step.title}"
    if isinstance(step, GateStep):
        yield f"{_STEP}gate     {step.gate} ({step.gate_kind})"
    else:
        yield f"{_STEP}takes    {step.duration.value}"
    for line in lock_lines(step):
        yield f"{_STEP}lock     {line}"
    for one in assertions(step):
        yield f"{_STEP}refused  if {one.message}"
    if step.note:
        yield f"{_STEP}note     {step.note}"
    yield from _sql(step, whole=whole)
    yield from _undo(step, whole=whole)


def _sql(step: Step, *, whole: bool) -> Iterator[str]:
    statements = forward(step)
    shown = statements if whole or not isinstance(step, FillStep | VerifyStep) else statements[:1]
    for purpose, together in groupby(shown, key=lambda one: one.purpose):
        yield f"{_STEP}sql      {purpose}".rstrip()
        for statement in together:
            yield from _indented(statement.sql, SQL_HEAD, whole=whole)
            if statement.parameters:
                yield f"{_SQL}-- {statement.parameters}"
    if len(shown) < len(statements):
        others = "; ".join(statement.purpose for statement in statements[len(shown) :])
        yield f"{_STEP}and      {others} (--sql shows them)"


def _undo(step: Step, *, whole: bool) -> Iterator[str]:
    statements = backward(step)
    if statements is None:
        yield f"{_STEP}undo     none: there is no way back behind this step"
    elif statements:
        yield f"{_STEP}undo"
        for sql in statements:
            yield from _indented(sql, UNDO_HEAD, whole=whole)


def _indented(sql: str, head: int, *, whole: bool) -> Iterator[str]:
    lines = abridged(sql, len(sql) if whole else SQL_LINES_MAX, head)
    yield from (f"{_SQL}{line}" for line in [*lines[:-1], lines[-1] + ("" if lines[-1].startswith("…") else ";")])


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title.upper(), *(f"  {line}" for line in lines)] if lines else []
