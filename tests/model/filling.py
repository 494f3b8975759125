"""The fill as a model: three rows, a slice row, two lanes of which each may be a zombie, and an application that writes.

Each rule names the code that it stands for. One batch is one row (LIMIT 1), which is the worst case for checkpoints.
The pair (epoch, seq) of the slice row is abstracted to what a lane's copy of it is worth: current or out of date. A batch
is one move, because its transaction holds the slice row from its first write to its commit; faults that break this take
two. A process that stands still is one that does nothing for as long as the search likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model.search import Way

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = (1, 2, 3)
UNFILLED, FILLED, APP, STALE, POISON = "unfilled", "filled", "app", "stale", "poison"
"""N is NULL · N is up(S) · N was written by NEW · N is another up(S) · N is NULL and up(S) raises."""

FAULTS = {
    "no trigger": "an OLD write behind the cursor is never carried over",
    "no fence": "a batch does not compare the epoch of its slice row",
    "no seq guard": "a batch does not compare seq: a reply that was lost counts as a batch that was not",
    "checkpoint outside tx": "the cursor is committed before the rows",
    "value read before": "up(S) is computed by the client, before the row is locked",
    "overwrites": "a row is filled whether or not N is NULL",
    "skip forgotten": "a locked row is skipped without a note",
    "notes ignored": "the fill is called complete while notes are left",
    "poison ignored": "the fill is called complete while poison rows are named",
    "wrong cursor": "whoever claims a slice goes on one row too far",
    "pause between phases only": "a batch does not look for a pause",
}


class Lane(NamedTuple):
    """A walker. `mode`: idle (or dead), walking, unknown (a reply was lost), half (a fault's first of two commits)."""

    mode: str = "idle"
    epoch_ok: bool = False
    seq_ok: bool = False
    cursor: int = 0
    read: str = ""


class World(NamedTuple):
    """Everything there is."""

    rows: tuple[str, ...] = (UNFILLED,) * 3
    cursor: int = 0
    finished: bool = False
    notes: frozenset[int] = frozenset()
    named: frozenset[int] = frozenset()
    lanes: tuple[Lane, Lane] = (Lane(), Lane())
    held: int = 0
    """A row that an open transaction of the application has locked."""
    paused: bool = False
    complete: bool = False
    overwritten: bool = False
    """Ghost: a value that NEW wrote is gone."""


class Filling:
    """The model; `fault` takes one rule away."""

    def __init__(self, fault: str = "") -> None:
        assert fault in {"", *FAULTS}
        self.fault = fault

    def first(self) -> Iterator[World]:
        """Begin with rows that can be filled, and with one that cannot."""
        yield World()
        yield World(rows=(UNFILLED, POISON, UNFILLED))

    def ways(self) -> Iterator[Way[World]]:
        """Promise that a fill can always be brought to its end."""
        yield Way("no way to a complete fill", lambda _: True, lambda world: world.complete)

    # ------------------------------------------------------------------------------------ promises

    def wrong(self, world: World) -> str | None:
        """Judge the data: I3, I5, I6, I8, I9, I17."""
        if world.overwritten:
            return "I5: a value that NEW wrote was overwritten"
        if STALE in world.rows:
            return "I3: a row holds what an older value of the old column came to"
        if world.complete and set(world.rows) - {FILLED, APP}:
            return "I6, I8, I9: the fill is complete, and a row is not filled"
        for row in ROWS[: world.cursor]:
            if world.rows[row - 1] in (UNFILLED, POISON) and row not in world.notes | world.named:
                return "I17: the checkpoint covers a row that was neither filled nor noted"
        return None

    def wrong_move(self, before: World, label: str, after: World) -> str | None:
        """Judge who wrote: I19, I20."""
        if not label.startswith("batch"):
            return None
        lane = before.lanes[int(label[-1])]
        if not lane.epoch_ok:
            return "I19: a batch of an older epoch was committed"
        if not lane.seq_ok:
            return "I18: a batch was sent again whose reply was lost"
        return "I20: a batch was committed that began while the change was paused" if before.paused else None

    # --------------------------------------------------------------------------------------- moves

    def moves(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield everything that anybody can do."""
        if world.complete:
            return
        yield from self._application(world)
        yield "resume" if world.paused else "pause", world._replace(paused=not world.paused)
        for n in (0, 1):
            for label, after in self._lane(world, n):
                # Which of two lanes is which makes no difference: half of the states. A story keeps their names.
                lanes = after.lanes if self.fault else tuple(sorted(after.lanes))
                yield f"{label} by {n}", after._replace(lanes=lanes)

    def _application(self, world: World) -> Iterator[tuple[str, World]]:
        """Write as OLD or NEW, or only lock; osc/sql/sync_body.py carries OLD's write over in the same transaction."""
        if world.held:
            yield f"app-rollback row {world.held}", world._replace(held=0)
        for row in ROWS:
            if not world.held:
                yield f"app-lock row {row}", world._replace(held=row)
            now = world.rows[row - 1]
            carried = FILLED if self.fault != "no trigger" else STALE if now in (FILLED, APP, STALE) else UNFILLED
            if world.held in (0, row):
                yield f"OLD writes row {row}", world._replace(rows=_with(world.rows, row, carried), held=0)
                yield f"NEW writes row {row}", world._replace(rows=_with(world.rows, row, APP), held=0)

    def _lane(self, world: World, n: int) -> Iterator[tuple[str, World]]:
        lane = world.lanes[n]
        if lane.mode == "idle":
            yield "claim", self._claim(world, n)
            return
        yield "kill", self._put(world, n, Lane())
        if lane.mode == "unknown":
            yield from self._find_out(world, n, lane)
        elif lane.mode == "half":
            yield "batch, its second half,", self._second_half(world, n, lane)
        elif self.fault == "value read before" and not lane.read and lane.cursor < 3:
            yield "read", self._put(world, n, lane._replace(read=world.rows[lane.cursor]))
        else:
            yield from self._next(world, n, lane)

    def _claim(self, world: World, n: int) -> World:
        """slices.sql, claim (and osc.take_lease): epoch + 1, so that every other copy is out of date."""
        cursor = min(3, world.cursor + (self.fault == "wrong cursor" and world.cursor > 0))
        world = self._put(world, 1 - n, world.lanes[1 - n]._replace(epoch_ok=False))
        return self._put(world, n, Lane("walking", epoch_ok=True, seq_ok=True, cursor=cursor))

    def _next(self, world: World, n: int, lane: Lane) -> Iterator[tuple[str, World]]:
        """handlers/fill.py, do: batches to the end, then the notes, then the poison rows, then journal.finish."""
        if not world.finished:
            yield from self._batch(world, n, lane, lane.cursor + 1 if lane.cursor < 3 else 0)
        elif world.notes and self.fault != "notes ignored":
            for row in world.notes:
                yield from self._batch(world, n, lane, row, revisit=True)
        elif world.named and self.fault != "poison ignored":
            for row in world.named:
                yield from self._batch(world, n, lane, row, revisit=True)
        elif lane.epoch_ok:  # journal.finish: fenced by the epoch of the step, which a takeover counts up as well
            yield "finish", world._replace(complete=True)
        else:
            yield "fenced", self._put(world, n, Lane())

    def _batch(
        self, world: World, n: int, lane: Lane, row: int, *, revisit: bool = False
    ) -> Iterator[tuple[str, World]]:
        """batch.py, _move_slice: WHERE epoch AND seq AND NOT finished AND NOT paused, asked again once the row is ours."""
        epoch_ok, seq_ok = lane.epoch_ok or self.fault == "no fence", lane.seq_ok or self.fault == "no seq guard"
        if not (epoch_ok and seq_ok):
            yield "no-row", self._put(world, n, lane._replace(mode="unknown", read=""))
        elif world.paused and self.fault != "pause between phases only":
            yield "no-row", world
        elif self.fault == "checkpoint outside tx" and row and not revisit:
            yield (
                f"batch, its first half, on row {row}",
                self._put(world._replace(cursor=row), n, lane._replace(mode="half")),
            )
        else:
            after = self._write(world, lane, row, revisit=revisit)
            moved = after.cursor if not revisit else lane.cursor
            told = lane._replace(mode="walking", seq_ok=True, cursor=moved, read="")
            lost = lane._replace(mode="unknown", seq_ok=False, read="")
            yield f"batch on row {row}", self._put(after, n, told)
            yield f"batch, its reply lost, on row {row}", self._put(after, n, lost)
            yield f"rolled-back on row {row}", self._put(world, n, lost._replace(seq_ok=lane.seq_ok))

    def _second_half(self, world: World, n: int, lane: Lane) -> World:
        after = self._write(world, lane, world.cursor, revisit=False)
        return self._put(after, n, lane._replace(mode="walking", cursor=world.cursor))

    def _write(self, world: World, lane: Lane, row: int, *, revisit: bool) -> World:
        """Rows, checkpoint, notes and names in one transaction (I17); what is locked is noted (batch.skipping)."""
        if not row:
            return world._replace(finished=True)
        if not revisit:
            world = world._replace(cursor=row)
        now = world.rows[row - 1]
        if world.held == row:
            unfilled = now in (UNFILLED, POISON) and row not in world.named and self.fault != "skip forgotten"
            return world._replace(notes=world.notes | {row}) if unfilled else world
        if now == POISON:  # passing.pass_over, passing.NAME_POISON: named by key in the transaction that moves on
            return world._replace(named=world.named | {row}, notes=world.notes - {row})
        if now == APP:
            gone = self.fault == "overwrites" or bool(lane.read)
            return world._replace(overwritten=gone, notes=world.notes - {row}, named=world.named - {row})
        stale = lane.read == UNFILLED and now == FILLED  # the application wrote between the reading and the lock
        rows = _with(world.rows, row, STALE if stale else FILLED)
        return world._replace(rows=rows, notes=world.notes - {row}, named=world.named - {row})

    def _find_out(self, world: World, n: int, lane: Lane) -> Iterator[tuple[str, World]]:
        """lane.py, _find_out: the slice row decides what became of the batch, and whoever is fenced stops (I18)."""
        if self.fault == "no seq guard" and lane.epoch_ok:  # a lost reply taken for a failure
            yield "find-out", self._put(world, n, lane._replace(mode="walking"))
        elif lane.epoch_ok or self.fault == "no fence":
            yield "find-out", self._put(world, n, lane._replace(mode="walking", seq_ok=True, cursor=world.cursor))
        else:
            yield "fenced", self._put(world, n, Lane())

    def _put(self, world: World, n: int, lane: Lane) -> World:
        """Put the lane in; of one that is fenced for good no more is kept than can still matter."""
        if not self.fault and not lane.epoch_ok and lane.mode != "idle":
            lane = Lane("walking")
        return world._replace(lanes=(lane, world.lanes[1]) if n == 0 else (world.lanes[0], lane))


def _with(rows: tuple[str, ...], row: int, value: str) -> tuple[str, ...]:
    return (*rows[: row - 1], value, *rows[row:])
