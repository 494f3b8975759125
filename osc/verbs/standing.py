"""Where a change stands, as one value: what status prints, what wait judges by. Values only; judging is next door."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from osc.verbs.documents import plain

if TYPE_CHECKING:
    from datetime import datetime

    from osc.program import Phase


class Condition(StrEnum):
    """How a change is doing, the worst first: the order in which status lists changes."""

    AMBIGUOUS = "ambiguous"
    """Nobody knows whether a step happened; a person must look."""
    FAILED = "failed"
    """It ended with an error, and nobody leads it."""
    STOPPED = "nobody leads it"
    """It was asked to go on, and nobody leads it."""
    PAUSED = "paused"
    CLOSED = "waits for a person"
    """A gate stands before it that only a person opens."""
    WAITING = "waiting"
    """Somebody leads it, and it waits for a lock, for rows or for time."""
    RUNNING = "running"
    RESTING = "resting"
    """It is where it was asked to be."""
    DONE = "done"
    ROLLED_BACK = "rolled back"

    @property
    def rank(self) -> int:
        return list(Condition).index(self)


@dataclass(frozen=True, slots=True)
class StepNow:
    """The step that runs, waits or needs a person."""

    id: str
    title: str
    phase: Phase
    state: str
    attempts: int
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is. ``unit`` is rows or blocks, ``total`` an estimate.

    ``rate`` is per second, over the last two minutes, and ``eta_s`` what is left at that rate; ``None`` while it rests.
    """

    step: str
    unit: str
    done: int
    total: int | None
    rate: float | None = None
    eta_s: float | None = None
    filled: int = 0
    skipped: int = 0
    poison: int = 0
    lanes: int = 0
    walk: str = ""
    waves: int | None = None
    waves_rest: bool = False
    """Whether the fill goes without waves, because something keeps dead rows from being removed."""
    hot_share: float | None = None
    """Of the updates so far: those that touched no index."""
    phase: str = ""
    """Of an index build, in PostgreSQL's words: done, total and time left are those of this phase alone."""
    mismatches: int = 0
    """Rows that a verification found out of step so far."""

    @property
    def share(self) -> float | None:
        """Return the share done, 0 to 1, where a total is known."""
        return min(1.0, self.done / self.total) if self.total else None


@dataclass(frozen=True, slots=True)
class GateNow:
    """A gate of the program. ``open`` is ``None`` where only the server or an address can tell when asked."""

    name: str
    kind: str
    phase: Phase
    open: bool | None
    told: str
    """In words: who opened it and when, or how it opens."""
    opens_in_s: float | None = None
    command: str = ""
    """What opens it, where a person does."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The one command to type next, or none, and why."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything status says of one change."""

    id: str
    attempt: int
    revision: int
    title: str
    owner: str
    tables: tuple[str, ...]
    state: str
    since: datetime
    condition: Condition
    phase: Phase | None
    """The phase that runs, else the last complete one."""
    phases: dict[str, str]
    """Each phase: complete, running or ahead."""
    target: Phase | None
    direction: str
    step: StepNow | None
    steps_done: int
    steps_total: int
    progress: Progress | None
    waiting: str
    blockers: tuple[dict[str, Any], ...]
    pause: dict[str, Any] | None
    problem: dict[str, Any] | None
    gates: tuple[GateNow, ...]
    leader: str
    filled_at: datetime | None
    verified: tuple[dict[str, Any], ...]
    new_application_from: str
    old_application_until: str
    point_of_no_return: str
    next: Advice
    way_back: Advice
    notes: tuple[str, ...] = ()
    sampled: tuple[dict[str, Any], ...] = ()
    """Of each verification, in front of a switch that waits: rows that were looked at last, and how many are out of step."""
    reasons: tuple[str, ...] = ()
    """Every limit or sign that holds the fill back now; ``waiting`` says them in one line."""

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints of it."""
        return {**plain(self), "condition": self.condition.name.lower()}


@dataclass(frozen=True, slots=True)
class Overview:
    """The changes asked for, worst first."""

    changes: tuple[Standing, ...]
    database: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        shown = [one.as_json() for one in self.changes]
        return {"database": self.database, "at": self.at.isoformat(), "changes": shown}
