"""What a batch stands on: the table's file, its leaf, its triggers. Asked when a statement wrote nothing."""

from __future__ import annotations

from osc.errors import Conflict
from osc.executor.backfill.leaves import LeavesChanged, is_leaf
from osc.executor.backfill.statements import fetch_one
from osc.executor.lead import Lead
from osc.program import FillStep
from osc.sql import pages
from osc.state.slices import Slice


class Rewritten(Exception):
    """The table, or its leaf of that oid, has another file than the one the slice's blocks are in."""

    def __init__(self, leaf: int | None = None) -> None:
        super().__init__(leaf)
        self.leaf = leaf


async def prove(lead: Lead, step: FillStep, piece: Slice, *, by_blocks: bool) -> None:
    """Raise LeavesChanged, Rewritten or Conflict if the slice can not be walked on as it was begun."""
    if not await is_leaf(lead, step, piece.leaf):
        raise LeavesChanged
    if by_blocks and await _is(lead, f"{pages.filenode(step.table)}::bigint") != piece.filenode:
        raise Rewritten(piece.leaf)
    if not await _is(lead, step.guard):
        raise Conflict(
            f"the sync trigger of {step.table} is missing, disabled or changed, or another trigger would fire for "
            "what the fill writes; the fill stopped",
            hint=f"put the triggers back as they were and osc advance {lead.change.id}, or roll back",
        )


async def _is(lead: Lead, expression: str) -> object:
    row = await lead.ask(fetch_one(lead.control, f"SELECT {expression}", []))
    return row[0] if row else None
