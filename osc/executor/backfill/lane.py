"""One lane: walks a slice batch by batch, never waits long for a row, names rows that cannot be filled."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, field

import psycopg

from osc.errors import LeaseLost, StepFailed
from osc.executor.backfill import ground
from osc.executor.backfill.lengths import Lengths, Sizes
from osc.executor.backfill.misses import Misses
from osc.executor.backfill.pace import BREATHING_SHARE
from osc.executor.backfill.rounds import Piece, Round
from osc.executor.backfill.servo import Servo
from osc.executor.backfill.session import LaneSession, life_ms
from osc.executor.backfill.statements import Row, is_busy, is_poison
from osc.executor.backfill.tally import Tally
from osc.executor.backfill.waves import WHOLE, WINDOWS, Shares, Waves
from osc.executor.backfill.windows import Window, Windows
from osc.executor.handlers.transaction import explain
from osc.executor.lead import Lead
from osc.failpoints import failpoint
from osc.pg.outcome import Outcome, classify, sqlstate_of, without_values
from osc.pg.session import Connection
from osc.program import FillStep
from osc.program.steps import Walk
from osc.redaction import HELD_BACK, Quoted
from osc.sql import batch, passing
from osc.sql.pages import block_of
from osc.state import slices
from osc.state.slices import Key, Slice

IN_FLIGHT = 2
"""So many pieces of a wave are sent at most before the first has answered: the next lies ready when one is done."""
HOT_AT = batch.PLAIN_COLUMNS + 2
"""Where a batch tells how many of its updates were HOT, behind its cost."""


class SliceTaken(LeaseLost):
    """Another lane walks this slice now."""


@dataclass
class Lane:
    """A walk over one slice on one session. ``seq`` and ``cursor`` are those of the slice row after the last batch.

    It counts in units of the walk: rows along a key, blocks in the heap.
    """

    lead: Lead
    step: FillStep
    slice: Slice
    conn: Connection
    lengths: Lengths
    waves: Waves = field(default_factory=lambda: Waves(1))
    speed: float = 1.0
    held: bool = False
    """Whether a limit is so near, or was reached, that batches must not grow."""
    walk_name: str = ""
    """Empty for the slice's own; rows that were named are visited along the key, whatever the slice is."""
    tally: Tally = field(default_factory=Tally)
    misses: Misses = field(init=False)
    seq: int = field(init=False)
    cursor: Key | None = field(init=False)
    walk: Walk = field(init=False)
    session: LaneSession = field(init=False)
    _round: Round = field(default_factory=Round)
    _sent: deque[Piece] = field(default_factory=deque)
    """Pieces in flight. While there are any, nothing else runs on the session."""
    _moved_out: int = 0
    """Rows that waves found no room for since the checkpoint moved: they are in no window any more, but were."""
    _ahead: int = 0
    """Rows that these have filled, so that nothing is told twice."""

    def __post_init__(self) -> None:
        self.seq, self.cursor = self.slice.seq, self.slice.cursor or self.slice.lo
        self.misses = Misses(self.lead.settings)
        self.walk = self.step.walk(self.walk_name or self.slice.walk)
        self.session = LaneSession(self.lead, self.conn, self.step.table, self.walk.wave)

    @property
    def by_blocks(self) -> bool:
        return self.lengths.by_blocks

    @property
    def size(self) -> Servo:
        """What one statement without waves takes."""
        return self.lengths.size

    @property
    def rows_at_once(self) -> float:
        """About how many rows a statement fills."""
        return self.lengths.rows_at_once(len(self.waves.now))

    async def batch(self) -> tuple[bool, int]:
        """Do one statement; return whether the slice is finished and how many rows it went on by.

        A miss (locked rows, time up) moves nothing and makes the next windows skip what is locked (I14, F40).
        """
        await failpoint("batch.before")
        if not self._round.windows:
            await self._begin_round()
        window = self._round.windows[0]
        if window.has_waves and await self._send_pieces(self.lengths.aimed(window)):
            return False, await self._wave()
        return await self._end_of_window(window)

    async def settle(self) -> int:
        """Have what was sent ahead answered, so that nothing runs on the session; return how many rows it filled."""
        rows = 0
        while self._sent:
            rows += await self._wave()
        return rows

    async def _begin_round(self) -> None:
        """Cut the next windows; without waves one at a time, of the size that is right for it now."""
        self._ahead = 0
        into = self.waves.round_begins()
        if not self._can_have_waves or not self.misses.is_plain:
            into = WHOLE
        windows: list[Window] = []
        if len(into) > 1:
            windows = await self._cut(into)
        if not windows:
            self._round.begin([Window(self.cursor, self.slice.hi, self.size.rows)])
            return
        self._round.begin(windows, self.lengths.aimed(windows[0]))

    async def _cut(self, into: Shares) -> list[Window]:
        """Return the windows of a round; none, and shorter ones are tried next, where they are of no use or not found in time."""
        cutter = Windows(self.session, self.walk, self.slice, self.lengths.rows_per_block)
        windows: list[Window] = []
        try:
            await self.session.live(life_ms(self.lead))
            windows = await cutter.cut(self.cursor, self.lengths.window(len(into)), WINDOWS, into)
        except psycopg.Error as error:
            if not is_busy(error):
                raise
        if not windows:
            self.lengths.shrink()
        return windows

    @property
    def _can_have_waves(self) -> bool:
        """The waves of earlier versions cannot be asked what they did, and are left out."""
        return batch.MOVED in self.walk.wave

    def _give_round_up(self) -> None:
        """Go on behind the checkpoint with windows cut anew; what waves have filled ahead of it stays filled."""
        self._round.give_up()
        self.lengths.shrink()

    async def _send_pieces(self, sizes: Sizes) -> bool:
        """Send the next piece, and another behind it that waits on the server; return whether any is in flight.

        Where the lane rests between two, or they live differently long, each is sent alone.
        """
        while len(self._sent) < (IN_FLIGHT if self.speed == 1.0 else 1):
            piece = self._round.take(sizes)
            if piece is None:
                break
            life = self._life(alone=piece.blocks == 1)
            if self._sent and not self.session.lives(life):
                self._round.put_back(piece)
                break
            try:
                await self.session.live(life)
            except psycopg.Error as error:
                if not is_busy(error):
                    raise
                self._round.put_back(piece)  # somebody has cancelled the SET
                continue
            slice_, epoch, seq = self._fence
            first, behind = piece.window.shares.places(piece.number)
            fence = [slice_, epoch, seq + len(self._sent)]
            await self.session.send([piece.lo, piece.hi, first, *fence, piece.window.shares.of, behind])
            self._sent.append(piece)
        return bool(self._sent)

    async def _wave(self) -> int:
        """Hear what became of the first piece in flight: one share of some blocks, filled ahead of the checkpoint.

        What a miss leaves out the end of the window fills.
        """
        begun, piece = self.lead.clock.monotonic(), self._sent.popleft()
        try:
            row = await self.session.answer()
        except psycopg.Error as error:
            await self._call_back()
            await self._missed_wave(error, piece)
            return 0
        await failpoint("batch.after")
        if row is None:
            await self._call_back()
            self._round.put_back(piece)
            await self._find_out()
            return 0
        self.seq += 1
        filled = int(row[0])
        self.tally.filled += filled
        self._ahead += filled
        self._moved_out += filled - min(int(row[3] or 0), filled)
        self._count_hot(filled, row[3], judge=not piece.moves and piece.number > 0)
        self._size_of(piece).took(
            rows=piece.blocks, asked=piece.blocks, ms=float(row[1]), wal_bytes=int(row[2]), held=self.held
        )
        await self._rest((self.lead.clock.monotonic() - begun) * 1000)
        return filled

    async def _call_back(self) -> None:
        """Hear what was sent behind a piece that was not done: it proves a ``seq`` that is not there, and wrote nothing."""
        for _ in self._sent:
            with contextlib.suppress(psycopg.Error):  # of a session that is lost the next statement will tell
                await self.session.answer()
        while self._sent:
            self._round.put_back(self._sent.pop())

    async def _end_of_window(self, window: Window) -> tuple[bool, int]:
        """Fill what is left of a window, and move the checkpoint behind it."""
        skipping = self.misses.skip > 0
        begun, before = self.lead.clock.monotonic(), self.cursor
        units = self.lengths.end(window)
        ends = self.walk.close if units == window.units and window.has_waves and self.cursor == window.lo else ""
        sql = self.walk.skipping if skipping else ends or self.walk.batch
        try:
            await self.session.live(self._life(alone=units == 1))
            told = self._told(self._moved_out)
            row = await self.session.fetch_resting(sql, [self.cursor, window.hi, units, *self._fence, *told])
        except psycopg.Error as error:
            return await self._missed(error, skipping=skipping, window=window)
        await failpoint("batch.after")
        if row is None:
            return await self._find_out()
        took_ms = (self.lead.clock.monotonic() - begun) * 1000
        finished, rows = self._moved(row)
        if finished or not window.has_waves or self.cursor == window.hi:
            self._round.windows.popleft()
            if window.has_waves and not self._round.windows:
                self.lengths.grow(len(window.shares))
        if len(row) > HOT_AT:
            self._count_hot(int(row[3]), row[HOT_AT], judge=window.has_waves, ends=True)
        # What an earlier version compiled tells no server time; then the round trip has to do.
        ms, wal_bytes = (float(row[5]), int(row[6])) if len(row) > batch.PLAIN_COLUMNS else (took_ms, 0)
        if self.misses.batch_done(skipping=skipping) and not window.has_waves:
            self.size.took(
                rows=self._units_moved(rows, before), asked=window.units, ms=ms, wal_bytes=wal_bytes, held=self.held,
                filled=int(row[3]) / self.lengths.rows_per_unit,
            )  # fmt: skip
        await self._rest(took_ms)
        news = max(0, rows - self._ahead)
        self._ahead = max(0, self._ahead - rows)
        return finished, news

    async def revisit(self, lo: Key | None, hi: Key | None, note: int) -> int | None:
        """Visit a window again, both ends included; return how many rows were still locked, ``None`` if it must be asked again.

        Raises the server's error for a row that cannot be filled.
        """
        row = await self._execute(self.walk.revisit, 0, lo, hi, note)
        if row is None:
            await self._find_out(walking=False)
            return None
        self.seq += 1
        self.tally.filled += row[0]
        return int(row[1])

    async def name(self, key: Key, error: psycopg.Error) -> None:
        """Name a row behind the checkpoint that cannot be filled (I9)."""
        said = without_values(error)
        await self.session.live(self._life(alone=True))
        if await self.session.fetch(passing.NAME_POISON, [key, *self._fence, sqlstate_of(error), said]):
            self.seq += 1
            self._count_poison(said)

    def _count_poison(self, said: str) -> None:
        self.tally.poison += 1
        if self.tally.poison > self.lead.settings.poison_rows_max:
            raise StepFailed(
                f"{self.step.title}: more than {self.lead.settings.poison_rows_max} rows cannot be filled; the last says: {said}",
                hint="the expression does not fit the data: osc rollback, then mend the plan",
                quoted=[Quoted(f"the last says: {said}", f"what they say is {HELD_BACK}")],
            )

    async def _execute(self, sql: str, limit: int, lo: Key | None, hi: Key | None, *extra: object) -> Row | None:
        """Run a statement over what is alone, and may take all the time there is."""
        await self.session.live(self._life(alone=True))
        return await self.session.fetch(sql, [lo, hi, limit, *self._fence, *extra])

    @property
    def _fence(self) -> tuple[int, int, int]:
        """What each statement proves: that the slice is ours, and as we left it."""
        return self.slice.slice, self.slice.epoch, self.seq

    def _size_of(self, piece: Piece) -> Servo:
        return self.lengths.aimed(piece.window).of(moves=piece.moves)

    def _told(self, moved_out: int) -> list[int]:
        """Return what a walk by blocks is told besides: rows that are not in the window any more, but were."""
        return [moved_out] if self.by_blocks else []

    def _life(self, *, alone: bool) -> int:
        """Return how long a statement may take: one of more than one row, or block, lives shorter."""
        return life_ms(self.lead, None if alone else self.size.target_ms)

    def _moved(self, row: Row) -> tuple[bool, int]:
        self.misses.moved()
        self._moved_out = 0
        self.cursor, finished, rows, filled, skipped = row[0], bool(row[1]), int(row[2]), int(row[3]), int(row[4])
        self.seq += 1
        self.tally.filled += filled
        self.tally.skipped += skipped
        return finished, rows

    def _units_moved(self, rows: int, before: Key | None) -> int:
        if not self.by_blocks:
            return rows
        assert self.cursor is not None
        return block_of(self.cursor) - (block_of(before) if before else 0)

    def _count_hot(self, rows: int, hot: int | None, *, judge: bool, ends: bool = False) -> None:
        if hot is None:
            return
        self.tally.count_hot(rows, int(hot))
        if judge:
            self.waves.took(rows, int(hot), ends=ends)

    async def _rest(self, took_ms: float) -> None:
        """Sleep as long as it takes for the speed, after a statement that has worked all the time or rested in between."""
        worked = BREATHING_SHARE if self.session.breathes else 1.0
        if self.speed < worked:
            await self.lead.clock.sleep(took_ms / 1000 * (worked - self.speed) / self.speed)

    async def _missed_wave(self, error: psycopg.Error, piece: Piece) -> None:
        """Try a piece that took too long again in smaller ones; leave any other to the end of its window, which waits,
        skips and bisects as ever.
        """
        if self._may_be_gone(error):
            raise error
        outcome = classify(error, during="transaction")
        if outcome is Outcome.TRANSIENT:
            await self.lead.clock.sleep(self.lead.settings.transient_pause_first_s)
        elif outcome is Outcome.CANCELLED and piece.blocks > 1:
            self._round.put_back(piece)
            self._size_of(piece).halve(piece.blocks)
        elif is_poison(error):
            self.waves.rest()
            self._give_round_up()
        elif outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
            raise error
        elif outcome not in (Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED):
            raise explain(self.step.title, error) from error

    async def _missed(self, error: psycopg.Error, *, skipping: bool, window: Window) -> tuple[bool, int]:
        if self._may_be_gone(error):
            raise error
        outcome = classify(error, during="transaction")
        if outcome is Outcome.CANCELLED and self.lengths.shorten_end(window):
            return False, 0
        if outcome is not Outcome.LOCK_NOT_AVAILABLE or not window.has_waves:
            self._give_round_up()
        if outcome in (Outcome.LOCK_NOT_AVAILABLE, Outcome.CANCELLED):
            is_alone = outcome is Outcome.CANCELLED and skipping and window.units == 1
            if is_alone and self.misses.was_alone():
                return await self._bisect(error)
            if skipping or outcome is Outcome.CANCELLED:
                self.size.halve()
            self.misses.skip_more()
            return False, 0
        if outcome is Outcome.TRANSIENT:
            await self.lead.clock.sleep(self.lead.settings.transient_pause_first_s)
            return False, 0
        if is_poison(error):
            return await self._bisect(error)
        if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
            raise error
        raise explain(self.step.title, error) from error

    async def _bisect(self, error: psycopg.Error) -> tuple[bool, int]:
        """Close in on what cannot be filled: a row is named and passed over (I9), a block is noted for a visit row by row."""
        self._give_round_up()
        if self.size.rows > 1:
            self.size.halve()
            self.misses.stay_small()
            return False, 0
        message = without_values(error)
        told = self._told(0) if self.by_blocks else [sqlstate_of(error), message]
        row = await self._execute(self.walk.pass_over, 1, self.cursor, self.slice.hi, *told)
        if row is None:
            return await self._find_out()
        if not self.by_blocks:
            self._count_poison(message)
        self.misses.small = 0
        return self._moved(row)

    async def _find_out(self, *, walking: bool = True) -> tuple[bool, int]:
        """A statement that wrote nothing says so by no row; the slice row tells why."""
        now = await self.lead.ask(slices.get(self.lead.control, self.slice.slice))
        if now.epoch != self.slice.epoch:
            raise SliceTaken("another executor walks this slice now; this one stopped and wrote nothing more")
        if walking and now.finished:
            return True, 0
        if now.seq != self.seq:
            # A reply of ours was lost although its batch was committed: the row, not the reply, is the truth.
            self.seq, self.cursor = now.seq, now.cursor or now.lo
            self._give_round_up()
            return False, 0
        await self.lead.may_go_on()  # stays while paused
        await ground.prove(self.lead, self.step, now, by_blocks=self.by_blocks)
        return False, 0

    def _may_be_gone(self, error: psycopg.Error) -> bool:
        return self.step.root is not None and isinstance(error, psycopg.errors.UndefinedTable)
