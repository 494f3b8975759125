"""A Program as GitHub-flavoured Markdown for a pull request: one table of steps and locks, the SQL folded away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osc.compiler.explain.release import header, timeline
from osc.compiler.explain.statements import abridged, backward, blocks, forward, strongest, tables
from osc.program import GateStep, Phase, Program, Step
from osc.sql.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from osc.errors import Finding

COMMENT_CHARS_MAX = 65_536
"""What GitHub takes as one comment."""
_LINES_MAX = (400, 60, 20, 6)
"""Tried in order until the whole fits."""


def as_markdown(program: Program, warnings: Sequence[Finding] = ()) -> str:
    """Return the program in less than COMMENT_CHARS_MAX characters; long statements lose lines before steps do."""
    for lines_max in _LINES_MAX:
        text = _document(program, warnings, lines_max)
        if len(text) < COMMENT_CHARS_MAX:
            return text
    note = "\n\nThe rest did not fit into one comment: `osc explain` shows it.\n"
    head = _document(program, warnings, None)
    return head if len(head) < COMMENT_CHARS_MAX else head[: COMMENT_CHARS_MAX - len(note) - 1] + note


def _document(program: Program, warnings: Sequence[Finding], lines_max: int | None) -> str:
    parts = [f"### {_plain(program.title or program.plan_id)}", f"Plan `{program.plan_id}`"]
    parts.append("\n".join(f"- **{label}**: {_plain(text)}" for label, text in header(program)))
    parts += ["\n".join(_timeline(program)), "\n".join(_steps(program))]
    if warnings:
        parts.append("**Warnings**\n\n" + "\n".join(f"- {_plain(finding.line())}" for finding in warnings))
    if program.notes:
        parts.append("**Notes**\n\n" + "\n".join(f"- {_plain(note)}" for note in program.notes))
    if lines_max is None:
        parts.append(f"The SQL is too long for a comment: `osc explain {program.plan_id}.yaml --sql` shows it.")
    else:
        parts += [_details(phase, program, lines_max) for phase in Phase if program.phase(phase).steps]
    return "\n\n".join(parts) + "\n"


def _timeline(program: Program) -> Iterator[str]:
    yield _row("once complete", *(phase.value for phase in Phase))
    yield _row(*["---"] * (len(Phase) + 1))
    for row in timeline(program):
        yield _row(row.label, *row.words)


def _steps(program: Program) -> Iterator[str]:
    yield _row("step", "what", "lock", "blocks", "takes", "undo")
    yield _row(*["---"] * 6)
    for number, phase in enumerate(Phase, 1):
        steps = program.phase(phase).steps
        if not steps:
            yield _row(f"{number} **{phase}**", "nothing to do", "", "", "", "")
        for position, step in enumerate(steps, 1):
            name = f"{number}.{position}" + (f" **{phase}**" if position == 1 else "")
            yield _row(name, _plain(step.title), _lock(step), _blocked(step), step.duration.value, _undo(step))


def _lock(step: Step) -> str:
    mode = strongest(step)
    return "" if mode is Lock.NONE else f"{mode} on {', '.join(str(table) for table in tables(step))}"


def _blocked(step: Step) -> str:
    if isinstance(step, GateStep):
        return ""
    return f"**{blocks(step)}**" if strongest(step).strong else blocks(step)


def _undo(step: Step) -> str:
    statements = backward(step)
    return "**no way back**" if statements is None else "yes" if statements else "nothing to undo"


def _details(phase: Phase, program: Program, lines_max: int) -> str:
    body = "\n\n".join(_sql(step, lines_max) for step in program.phase(phase).steps)
    return f"<details><summary>SQL of {phase}</summary>\n\n{body}\n\n</details>"


def _sql(step: Step, lines_max: int) -> str:
    lines = [f"-- {one}" for one in step.title.splitlines()]
    for statement in forward(step):
        lines += [f"-- {statement.purpose}"] if statement.purpose else []
        lines += [*abridged(statement.sql, lines_max)]
        lines[-1] += ";"
    undo = backward(step)
    if undo:
        lines.append("-- undo")
        for sql in undo:
            lines += [f"-- {line}" for line in abridged(sql, lines_max)]
    text = "\n".join(lines)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    return f"{fence}sql\n{text}\n{fence}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Return ``text`` so that no name in it can become a mention, a link or HTML."""
    escaped = re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)
    return re.sub(r"@(?=\w)", "@\u200b", escaped)
