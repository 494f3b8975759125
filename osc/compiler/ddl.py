"""A Ddl part as a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.operations.parts import Ddl, Part, Stage
from osc.program import DdlStep, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def ddl_steps(parts: Sequence[Part], phase: Phase, stage: Stage) -> Iterator[DdlStep]:
    """Yield a step for each Ddl part of ``phase`` and ``stage``."""
    for part in parts:
        if isinstance(part, Ddl) and part.phase is phase and part.stage is stage:
            yield ddl_step(part)


def ddl_step(part: Ddl) -> DdlStep:
    """Return the step for a part; it gets its number later."""
    return DdlStep(
        id=part.label, phase=part.phase, title=part.title, sql=part.sql, undo=part.undo, locks=part.locks,
        undo_locks=part.undo_locks, assertions=part.assertions, undo_assertions=part.undo_assertions,
        effects=part.effects, undo_effects=part.undo_effects, duration=part.duration, note=part.note,
    )  # fmt: skip
