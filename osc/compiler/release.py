"""What a Program promises the releases of the application: from when, until when, and where there is no way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osc.operations.parts import Leaving, Pair, Part
from osc.program import DdlStep, ForgetStep, Phase, Program, SqlStep

if TYPE_CHECKING:
    from collections.abc import Sequence


def promises(program: Program, parts: Sequence[Part]) -> dict[str, Any]:
    """Return the fields of ``program`` that tell people when which application works."""
    own = [part for part in parts if isinstance(part, Pair) and part.keeps]
    pairs = [part for part in parts if isinstance(part, Pair) and not part.keeps]
    replaced = [pair for pair in pairs if pair.source is not None]
    leaving = [part for part in parts if isinstance(part, Leaving)]
    last = _first_final(program)
    return {
        "new_application_from": _new_from(program, pairs, replaced, leaving),
        "old_application_until": _old_until(replaced, leaving),
        "point_of_no_return": last.id if last else "none",
        "one_way_after": last.phase if last and last.phase is not Phase.CONTRACT else _one_way(replaced),
        "notes": (*_notes(pairs, replaced), *map(_kept, own), *map(_leaves, leaving)),
    }


def _new_from(program: Program, pairs: Sequence[Pair], replaced: Sequence[Pair], leaving: Sequence[Leaving]) -> str:
    changes_a_type = any(isinstance(step, DdlStep) and step.sql for step in program.phase(Phase.SWITCH).steps)
    if any(pair.same_name for pair in replaced) or (changes_a_type and not pairs):
        return "switch (until then it must accept the old type)"
    if not pairs:
        given = any(one.value is not None for one in leaving)
        return "dual_write (its rows then get a value in the column that goes)" if given else "expand"
    return "backfill, as soon as the fill is verified (absolute writes: from dual_write)"


def _old_until(replaced: Sequence[Pair], leaving: Sequence[Leaving]) -> str:
    if leaving or any(not pair.same_name for pair in replaced):
        return "contract"
    return "switch, unless it accepts the new type" if replaced else "it keeps working"


def _first_final(program: Program) -> DdlStep | SqlStep | ForgetStep | None:
    for step in program.steps():
        if isinstance(step, ForgetStep) or (isinstance(step, DdlStep | SqlStep) and step.undo is None):
            return step
    return None


def _one_way(replaced: Sequence[Pair]) -> Phase | None:
    return Phase.SWITCH if any(pair.down is None for pair in replaced) else None


def _kept(own: Pair) -> str:
    return (
        f"Rows of {own.table} that hold NULL in {own.final} get a value in {own.phase}. The key of each and that value are "
        f"kept in osc.kept until contract ends. Until then osc rollback gives NULL back to every row that still holds it; "
        f"a row that the application has given another value or another key stays as it is."
    )


def _leaves(one: Leaving) -> str:
    return (
        f"Contract renames {one.table}.{one.column} to {one.retired} and drops that later: whoever still names the column "
        f"fails from the renaming on, a statement prepared on SELECT * once per connection (0A000). SELECT * shows it, and "
        f"INSERT or COPY without a column list meets it, until the drop."
    )


def _notes(pairs: Sequence[Pair], replaced: Sequence[Pair]) -> list[str]:
    notes = []
    for pair in pairs:
        if pair.target != pair.final:
            notes.append(
                f"Until contract {pair.table} has the helper column {pair.target}: SELECT * shows it, and COPY or "
                f"INSERT without a column list meets it."
            )
            notes.append(f"{pair.table}.{pair.final} will be the last column of the table.")
        else:
            notes.append(
                f"{pair.table} gets the column {pair.target}: COPY and INSERT without a column list meet it from "
                f"expand on."
            )
    if replaced:
        notes.append(
            "A statement prepared on SELECT * or on a changed column fails (0A000) when the table changes, on each "
            "connection until it is prepared anew, which some drivers (psycopg) leave to the application."
        )
    notes += [
        f"{pair.table}.{pair.final} has no way back after switch (down: none)."
        for pair in replaced
        if pair.down is None
    ]
    return notes
