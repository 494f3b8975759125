"""A column that a fill gives a value, as the statements of the fill and of its way back see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filled:
    """``up`` is ready for a query in which the table has its own name."""

    target: str
    up: str
    never_null: bool = False
    """``up`` is volatile and never NULL: it is evaluated once a row, by the UPDATE alone."""
    keeps: bool = False
    """The column is the application's own: what the fill overwrites is kept in osc.kept, for the way back."""
    type: str = ""
    """The column's type, where its values are kept."""
