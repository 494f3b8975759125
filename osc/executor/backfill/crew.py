"""The lanes of one process: they claim slices, one each, until none is left, and share pace, throttle and progress."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import anyio
import psycopg

from osc.executor.backfill import slicing
from osc.executor.backfill.bloat import BloatGuard
from osc.executor.backfill.ground import Rewritten
from osc.executor.backfill.lane import Lane, SliceTaken
from osc.executor.backfill.lanes import Lanes
from osc.executor.backfill.leaves import LeavesChanged, is_leaf, on
from osc.executor.backfill.lengths import Lengths
from osc.executor.backfill.meter import Meter
from osc.executor.backfill.pace import AUTO, Pace
from osc.executor.backfill.session import prepare
from osc.executor.backfill.skipped import revisit_all
from osc.executor.backfill.waves import FIRST_BATCHES, Heap, Waves
from osc.executor.handlers.transaction import explain
from osc.executor.keeping import beside, single
from osc.executor.lead import Lead
from osc.executor.throttle.throttle import Throttle
from osc.pg.session import Connection, close
from osc.program import FillStep
from osc.state import journal, slices
from osc.state.journal import StepRow
from osc.state.slices import Slice

ASK_EVERY_S = 0.2
"""Between two looks whether somebody wants the change elsewhere."""
COUNTED_EVERY_S = 2.0
"""What was filled, and how, is written down so often; nothing depends on it."""


def lane_of(
    lead: Lead, step: FillStep, piece: Slice, conn: Connection, pace: Pace, heap: Heap, *, walk: str = "",
    before: Lane | None = None,
) -> Lane:  # fmt: skip
    """Return a lane on a slice that is claimed; batches begin small, or as large as ``before`` had them on the last one."""
    by_blocks, rows_per_block = (walk or piece.walk) == "blocks", max(1.0, heap.rows_per_block)
    if before is not None and before.by_blocks == by_blocks:
        lengths, waves = replace(before.lengths, rows_per_block=rows_per_block), before.waves
    else:
        lengths = Lengths.first(lead.settings, pace.batch_target_ms, by_blocks=by_blocks, rows_per_block=rows_per_block)
        waves = Waves(rested=FIRST_BATCHES)
    waves.cut(*waves_for(piece, heap, pace))  # somebody may have set it since the last slice
    return Lane(lead, step, piece, conn, lengths, waves=waves, speed=pace.speed, walk_name=walk)


def waves_for(piece: Slice, heap: Heap, pace: Pace) -> tuple[int | None, Heap | None]:
    """Return into how many equal waves the windows of a slice are cut, or the heap that their shares are to fit.

    Rows that follow each other by key and lie all over the heap meet few others of their block in a window: then
    each batch is a wave as it is.
    """
    if pace.waves != AUTO:
        return int(pace.waves), None
    return (1, None) if piece.walk == "keyset" and heap.follows_the_key is False else (None, heap)


@dataclass
class Crew:
    """Walks all slices of a step. ``row`` is the step's in the journal, where its waiting is noted."""

    lead: Lead
    step: FillStep
    row: StepRow
    pace: Pace
    meter: Meter
    throttle: Throttle = field(init=False)
    lanes: Lanes = field(init=False)
    _mine: set[int] = field(default_factory=set)
    """Slices that lanes of this process walk."""
    _claiming: anyio.Lock = field(default_factory=anyio.Lock)
    _found_none: bool = False
    """Whether a lane found no slice to claim lately: others walk those that are left."""
    _asked_s: float = -math.inf
    _left: int = 0
    """Rows that were locked when their windows were visited again, since somebody came on."""
    _heaps: dict[int | None, Heap] = field(default_factory=dict)
    """How the table, or each leaf of it, lies in its heap."""
    _over: Rewritten | LeavesChanged | None = None
    """Why the walk cannot go on as it was begun."""

    def __post_init__(self) -> None:
        self.throttle = Throttle(self.lead, self.step, self.row, self.pace)
        self.lanes = Lanes(self.pace, self.throttle, self.meter, self.lead.clock)

    async def work(self) -> None:
        """Return when every slice is walked to its end and nothing that was skipped is left.

        Raises Rewritten or LeavesChanged, with no lane at work any more, if the table or a leaf is not what it was.
        """
        async with self.throttle.watching(), beside(BloatGuard(self.lead, self.step, self.pace).watch):
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._foreman, group)
            except BaseExceptionGroup as errors:
                raise single(errors) from None
        if self._over is not None:
            raise self._over
        await self._waiting_for(None)

    async def _foreman(self, group: anyio.abc.TaskGroup) -> None:
        """Keep as many lanes at work as are wanted, until nothing is left to do."""
        running: dict[int, anyio.Event] = {}
        while self._over is None:
            running = {number: done for number, done in running.items() if not done.is_set()}
            if await self._is_done():
                return  # lanes that still run find nothing more to claim
            await self.meter.tell()
            self.lanes.look(len(running))
            for number in range(0 if self._found_none else self.lanes.wanted):
                if number not in running:
                    running[number] = anyio.Event()
                    group.start_soon(self._lane, number, running[number])
            self._found_none = False
            await self._any_ends(running)

    async def _any_ends(self, running: dict[int, anyio.Event]) -> None:
        """Wait a moment, or until a lane ends."""
        if not running:
            return await self.lead.clock.sleep(self.lead.settings.poll_s)
        with anyio.move_on_after(self.lead.settings.poll_s):
            async with anyio.create_task_group() as group:

                async def wait(done: anyio.Event) -> None:
                    await done.wait()
                    group.cancel_scope.cancel()

                for done in running.values():
                    group.start_soon(wait, done)

    async def _is_done(self) -> bool:
        await self.lead.may_go_on()
        return not await self.lead.ask(slices.is_open(self.lead.control, self.lead.number, self.step.id))

    async def _lane(self, number: int, done: anyio.Event) -> None:
        """Walk slices on one session, until there is none to claim or fewer lanes are wanted."""
        try:
            piece = await self._claim()
            if piece is None:
                return
            conn = await self.lead.worker("fill")
            try:
                await prepare(self.lead, self.step, conn)
                lane: Lane | None = None
                while piece is not None:
                    step, heap = await self._ground(piece)
                    lane = lane_of(self.lead, step, piece, conn, self.pace, heap, before=lane)
                    await self._walk(number, lane)
                    piece = await self._claim() if self._is_wanted(number) else None
            except LeavesChanged as changed:  # the leaf of a slice that was claimed is gone, and the slice goes with it
                self._over = changed
            finally:
                await close(conn)
        finally:
            done.set()

    async def _ground(self, piece: Slice) -> tuple[FillStep, Heap]:
        """Return the step where the slice lies, and the heap there; raise LeavesChanged if that is no leaf any more."""
        step = await on(self.lead, self.step, piece.leaf)
        if step is None:
            raise LeavesChanged
        if piece.leaf not in self._heaps:
            self._heaps[piece.leaf] = await slicing.look(self.lead, step)
        return step, self._heaps[piece.leaf]

    def _is_wanted(self, number: int) -> bool:
        return number < self.lanes.wanted and self._over is None

    async def _claim(self) -> Slice | None:
        lead = self.lead
        await lead.may_go_on()
        async with self._claiming:  # the next lane must know what this one has got
            piece = await lead.ask(
                slices.claim_next(lead.control, lead.number, self.step.id, lead.executor.owner, mine=sorted(self._mine),
                                  silent_s=lead.settings.worker_silent_s)
            )  # fmt: skip
            if piece is not None:
                self._mine.add(piece.slice)
        self._found_none = piece is None
        return piece

    async def _walk(self, number: int, lane: Lane) -> None:
        piece = lane.slice
        self.meter.lanes.append(lane)
        try:
            finished = piece.finished or await self._to_the_end(number, lane)
            if finished and (left := await revisit_all(lane)):
                await self._wait_for_rows(left)
        except SliceTaken:
            await self.lead.may_go_on()  # by a rival, who has the lead now, or by another process of the same
        except (Rewritten, LeavesChanged) as changed:
            self._over = changed
        except psycopg.errors.UndefinedTable as error:
            if await is_leaf(self.lead, lane.step, piece.leaf):
                raise explain(self.step.title, error) from error
            self._over = LeavesChanged()
        finally:
            self._mine.discard(piece.slice)
            self.meter.lanes.remove(lane)
        await self.lead.ask(slices.let_go(self.lead.control, lane.slice))

    async def _to_the_end(self, number: int, lane: Lane) -> bool:
        """Return whether the slice was walked to its end, and not only to where the lane was not wanted any more."""
        finished, noted_s = False, self.lead.clock.monotonic()
        try:
            while not finished and self._is_wanted(number):
                await self._may_go_on()
                await self.pace.apply(lane.size)
                await self.throttle.pass_through()
                lane.speed, lane.session.breathes = self.pace.speed, self.pace.breathes
                lane.held = self.throttle.is_near
                finished, rows = await lane.batch()
                self.meter.add(rows)
                if self.lead.clock.monotonic() - noted_s >= COUNTED_EVERY_S:
                    noted_s = self.lead.clock.monotonic()
                    await self._note(lane)
            self.meter.add(await lane.settle())
        finally:
            self._left = 0
        await self._note(lane)
        return finished

    async def _may_go_on(self) -> None:
        """Ask as ``Lead.may_go_on`` does, but not before each batch: a batch proves lead and pause itself."""
        now_s = self.lead.clock.monotonic()
        if now_s - self._asked_s >= ASK_EVERY_S or self.lead.is_lost:
            self._asked_s = now_s
            await self.lead.may_go_on()

    async def _note(self, lane: Lane) -> None:
        filled, counted, hot = lane.tally.news()
        await self.lead.ask(
            slices.add_filled(
                self.lead.control,
                lane.slice,
                filled,
                waved=counted,
                hot=hot,
                waves=len(lane.waves.shares),
                rest=lane.waves.is_in_vain,
            )
        )

    async def _wait_for_rows(self, left: int) -> None:
        """Say that rows are locked by others, and come back later."""
        self._left += 1
        await self._waiting_for({"rows_locked": left})
        self.lead.report(
            "waiting",
            f"{left} rows of {self.step.table} are locked by others; everything else is filled",
            waiting="rows",
            step=self.step.id,
        )
        settings = self.lead.settings
        await self.lead.clock.sleep(min(settings.revisit_pause_s * self._left, settings.revisit_pause_max_s))

    async def _waiting_for(self, detail: dict[str, object] | None) -> None:
        kind = None if detail is None else "rows"
        await self.lead.ask(
            journal.waiting(self.lead.control, self.lead.number, self.row.ordinal, self.lead.epoch, kind, detail)
        )


async def crew_for(lead: Lead, step: FillStep, row: StepRow, *, leads: bool = True) -> Crew:
    """Return a crew for the slices of a step; who leads makes those that are missing."""
    pace = await Pace(lead).read()
    if leads:
        await slicing.cut_all(lead, step, pace)
    return Crew(lead, step, row, pace, Meter(lead, step))
