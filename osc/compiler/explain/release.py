"""The release timeline of a Program: in which phase which application works, and how far the way back is open."""

from __future__ import annotations

from dataclasses import dataclass

from osc.compiler.explain.statements import no_way_back
from osc.program import FillStep, Phase, Program


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline: what it is about, and a word for each phase in order."""

    label: str
    words: tuple[str, ...]


def timeline(program: Program) -> tuple[Row, ...]:
    """Return a line each for old and new application and the way back; a word holds once its phase is complete."""
    return (
        Row("old application", tuple(_old(program, phase) for phase in Phase)),
        Row("new application", tuple(_new(program, phase) for phase in Phase)),
        Row("way back", tuple(_back(program, phase) for phase in Phase)),
    )


def _old(program: Program, phase: Phase) -> str:
    return "gone" if phase.value == program.old_application_until else "works"


def _new(program: Program, phase: Phase) -> str:
    begins = next((one for one in Phase if program.new_application_from.startswith(one.value)), Phase.EXPAND)
    if phase.order >= begins.order:
        return "works"
    fills = any(isinstance(step, FillStep) for step in program.steps())
    if phase is Phase.DUAL_WRITE and begins is Phase.BACKFILL and fills:
        return "may write"
    return "not yet"


def _back(program: Program, phase: Phase) -> str:
    if program.one_way_after is not None and phase.order >= program.one_way_after.order:
        return "closed"
    final = no_way_back(program)
    if final is None or phase.order < final[1].phase.order:
        return "open"
    return f"until {final[0]}" if final[1].phase is phase else "closed"


def point_of_no_return(program: Program) -> str:
    """Return where the way back ends, in words."""
    final = no_way_back(program)
    if program.one_way_after is not None and (final is None or program.one_way_after.order < final[1].phase.order):
        return f"the end of {program.one_way_after}: the plan declares no way back (down: none)"
    return f"{final[0]} {final[1].title}" if final else "none"


def header(program: Program) -> tuple[tuple[str, str], ...]:
    """Return what stands above the phases, as pairs of label and text."""
    gates = [f"{gate.kind} {gate.name} before {gate.phase}" for gate in program.gates]
    return (
        ("tables", ", ".join(str(table) for table in program.tables) or "none"),
        ("new application", f"from {program.new_application_from}"),
        ("old application", _until(program.old_application_until)),
        ("point of no return", point_of_no_return(program)),
        ("gates", "; ".join(gates) or "none"),
    )


def _until(text: str) -> str:
    return f"until {text}" if text in set(Phase) else text
