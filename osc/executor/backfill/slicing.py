"""How a table is walked, and in how many slices: decided once, when the walk begins, from how it lies in its heap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import psycopg

from osc.executor.backfill.leaves import is_leaf, leaves_of
from osc.executor.backfill.pace import AUTO, LANES_AUTO_MAX, Pace
from osc.executor.backfill.statements import fetch_all, fetch_one
from osc.executor.backfill.waves import BLOCK_BYTES, POINTER_BYTES, Heap
from osc.executor.lead import Lead
from osc.pg.session import run, within
from osc.program import FillStep, VerifyStep
from osc.sql import pages
from osc.sql.named import load
from osc.sql.pages import ByKey, position
from osc.state import slices
from osc.state.slices import Key, Slice

FOLLOWS_FROM = 0.9
"""From this correlation on neighbours by key are taken for neighbours in the heap."""
SLICES_MAX = 64
SLICES_A_LANE = 2
SLICE_OF_ONE = 8
"""So many times its least length a slice has where one lane walks."""
SAMPLED_BLOCKS = 300
"""So many blocks are read to cut a table by its key, as ANALYZE reads them for a histogram of 100 parts."""
ROWS_PER_BLOCK = 50.0
"""Taken for the rows of a block where there are no statistics: rows of about 130 bytes."""
ROW_HEADER_BYTES = 24
ALIGNED_TO = 8
"""Where a row begins in its block, on every 64-bit machine (MAXALIGN)."""


async def look(lead: Lead, step: FillStep | VerifyStep) -> Heap:
    """Return how the table lies in its heap; only reads catalogs."""
    key = step.key[0].name if step.key else ""
    params = {"table": step.table.sql, "key": key, "columns": list(step.columns)}
    cursor = await run(lead.control, load("heap")["heap"], params, deadline_s=lead.settings.query_deadline_s)
    row = await cursor.fetchone()
    if row is None:
        return Heap(0, ROWS_PER_BLOCK, 0.0, 0)
    blocks, _, rows_per_block, fillfactor, width, correlation, growth, indexes, is_indexed = row
    free = 1 - fillfactor / 100
    if rows_per_block and width:
        row_bytes = _aligned(ROW_HEADER_BYTES + width) + POINTER_BYTES
        free = max(free, 1 - rows_per_block * row_bytes / BLOCK_BYTES)
    return Heap(
        blocks=int(blocks),
        rows_per_block=float(rows_per_block or ROWS_PER_BLOCK),
        free_share=max(0.0, free),
        indexes=int(indexes),
        follows_the_key=None if correlation is None else correlation >= FOLLOWS_FROM,
        is_indexed=bool(is_indexed),
        growth_bytes=_aligned(growth or 0),
    )


def _aligned(width: float) -> int:
    return math.ceil(width / ALIGNED_TO) * ALIGNED_TO


def walk_for(step: FillStep, heap: Heap, asked: str) -> str:
    """Return ``keyset`` or ``blocks``.

    Along the key where the heap follows it, through the blocks where it does not (random uuids) or nobody knows: there a
    window of keys is scattered over all of the heap. Through the blocks as well where the key has the only index: so
    little else is to be done there that looking for the edges of windows is felt.
    """
    if step.blocks is None:
        return "keyset"
    if asked in ("keyset", "blocks") and (asked == "blocks" or step.key):
        return asked
    return "keyset" if step.key and heap.follows_the_key and heap.indexes > 1 else "blocks"


async def cut_all(lead: Lead, step: FillStep, pace: Pace) -> list[Slice]:
    """Return the slices of the table or of all its leaves; what has none yet is cut, and those of leaves that went are dropped."""
    found = await lead.ask(slices.of_step(lead.control, lead.number, step.id))
    if step.leaf is None:
        return found or await cut(lead, step, pace, await look(lead, step))
    leaves, cut_before = await leaves_of(lead, step.table), {one.leaf for one in found}
    gone = [one for one in cut_before if one is not None and one not in {leaf.oid for leaf in leaves}]
    if gone:
        lead.report("note", f"{len(gone)} partitions of {step.table} are gone, and need no fill", step=step.id)
        await begin_anew(lead, step, gone)
    for leaf in (one for one in leaves if one.oid not in cut_before):
        here = step.on(leaf.name)
        try:
            found += await cut(lead, here, pace, await look(lead, here), leaf.oid)
        except psycopg.errors.UndefinedTable:
            if await is_leaf(lead, here, leaf.oid):
                raise
    return [one for one in found if one.leaf not in gone]


async def cut(lead: Lead, step: FillStep, pace: Pace, heap: Heap, leaf: int | None = None) -> list[Slice]:
    """Return new slices of a table or a leaf, with the end that is fixed now that the triggers are live (S21)."""
    if not step.end and step.key:
        return await lead.ask(slices.create(lead.control, lead.number, step.id, [(None, None)], lead.epoch, leaf=leaf))
    walk = walk_for(step, heap, pace.walk)
    end = await within(lead.control, lead.settings.query_deadline_s, fetch_one(lead.control, step.walk(walk).end, []))
    if end is None:
        return []
    filenode = int(end[1]) if walk == "blocks" else None
    inner = await _edges(lead, step, heap, walk, end[0], pace.lanes)
    edges: list[Key | None] = [None, *inner, list(end[0])]
    bounds = list(pairwise(edges))
    return await lead.ask(
        slices.create(lead.control, lead.number, step.id, bounds, lead.epoch, filenode=filenode, leaf=leaf)
    )


def slices_for(blocks: int, lanes: int | str, blocks_min: int) -> int:
    """Return into how many slices so many blocks are cut.

    Of a table that one lane walks slices are long, as each begins and ends with short windows; several lanes want some
    each, so that they end at about the same time.
    """
    several = LANES_AUTO_MAX if lanes == AUTO else int(lanes)
    wanted = max(blocks // (blocks_min * SLICE_OF_ONE), several * SLICES_A_LANE if several > 1 else 1)
    return max(1, min(SLICES_MAX, wanted, blocks // blocks_min))


async def _edges(lead: Lead, step: FillStep, heap: Heap, walk: str, end: Key, lanes: int | str) -> Sequence[Key]:
    """Return where the table is cut, between its two ends."""
    blocks = pages.block_of(end) if walk == "blocks" else heap.blocks
    n = slices_for(blocks, lanes, lead.settings.slice_blocks_min)
    if n == 1:
        return []
    if walk == "blocks":
        return _equal(blocks, n)
    return [key for key in await _sampled(lead, step, blocks, n) if key != list(end)]


async def ranges(lead: Lead, step: VerifyStep, heap: Heap) -> list[tuple[Key | None, Key | None]]:
    """Return ranges that hold about the same number of rows each, over all that is there and will come."""
    n = max(1, min(SLICES_MAX, heap.blocks // lead.settings.slice_blocks_min))
    inner = [] if n == 1 else await _sampled(lead, step, heap.blocks, n) if step.key else _equal(heap.blocks, n)
    return list(pairwise([None, *inner, None]))


def _equal(blocks: int, n: int) -> list[Key]:
    return [position(blocks * part // n) for part in range(1, n)]


async def _sampled(lead: Lead, step: FillStep | VerifyStep, blocks: int, n: int) -> list[Key]:
    """Return keys that cut a sample of the table in ``n`` equal parts."""
    share = min(100.0, 100.0 * SAMPLED_BLOCKS / max(1, blocks))
    sample = pages.sample(ByKey(step.table, step.key))
    rows = await within(lead.control, lead.settings.query_deadline_s, fetch_all(lead.control, sample, [n, share]))
    return [list(row[0]) for row in rows]


async def begin_anew(lead: Lead, step: FillStep, leaves: Sequence[int] | None = None) -> None:
    """Forget the walk, or that of some leaves: somebody gave them another file, where positions mean something else."""
    await lead.ask(slices.drop(lead.control, lead.number, step.id, lead.epoch, leaves=leaves))
