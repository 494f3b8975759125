"""The five phases in their order, and the parts of contract."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """A phase of a change. ``order`` is its place in the sequence."""

    EXPAND = "expand"
    DUAL_WRITE = "dual_write"
    BACKFILL = "backfill"
    SWITCH = "switch"
    CONTRACT = "contract"

    @property
    def order(self) -> int:
        return _ORDER[self]

    def up_to(self) -> tuple[Phase, ...]:
        """Return this phase and all before it, first first."""
        return tuple(phase for phase in Phase if phase.order <= self.order)


_ORDER = {phase: number for number, phase in enumerate(Phase)}
