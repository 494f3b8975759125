"""What is going on in the demo right now, as plain values, and who may look at it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from osc.program import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.executor.reports import Report

State = Literal["ahead", "now", "done", "failed"]


@dataclass(slots=True)
class Step:
    """A step of a phase, while it runs and afterwards."""

    title: str
    began: float
    seconds: float | None = None


@dataclass(slots=True)
class Chapter:
    """A part of the demo; the five phases are five of them."""

    title: str
    state: State = "ahead"
    began: float = 0.0
    seconds: float = 0.0
    detail: str = ""
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    unit: str = ""
    steps: list[Step] = field(default_factory=list)

    def elapsed_s(self) -> float:
        """Return how long it took, or has taken so far."""
        return time.monotonic() - self.began if self.state == "now" else self.seconds


@dataclass(frozen=True, slots=True)
class Traffic:
    """An application over the last seconds."""

    name: str
    what: str
    tps: float | None
    """None until its log holds enough to say."""
    p99_ms: float
    ended: bool = False
    """It ended by itself: the server turned all its clients away."""


class Audience(Protocol):
    """Whoever watches. Both are called from the event loop and must return at once."""

    def tell(self, line: str) -> None:
        """Take a sentence that shall stay readable."""

    def look(self, stage: Stage) -> None:
        """Take the state of things; called about four times a second."""


class Nobody:
    """An audience that looks away."""

    def tell(self, line: str) -> None:
        """Hear nothing."""

    def look(self, stage: Stage) -> None:
        """See nothing."""


@dataclass
class Stage:
    """The chapters in their order, the traffic and the longest wait so far."""

    audience: Audience
    began: float = field(default_factory=time.monotonic)
    chapters: dict[str, Chapter] = field(default_factory=dict)
    traffic: list[Traffic] = field(default_factory=list)
    longest_wait_ms: float | None = None

    def __post_init__(self) -> None:
        titles = {
            "server": "start PostgreSQL",
            "accounts": "fill pgbench_accounts",
            "before": "the old application alone",
            **{str(phase): str(phase) for phase in Phase if phase is not Phase.CONTRACT},
            "both": "old and new side by side",
            "contract": "contract",
            "checks": "count what went wrong",
        }
        self.chapters = {name: Chapter(title) for name, title in titles.items()}

    @contextmanager
    def chapter(self, name: str, detail: str = "") -> Iterator[Chapter]:
        """Run the block as this chapter."""
        chapter = self._begin(name)
        chapter.detail = detail
        self.audience.look(self)
        try:
            yield chapter
        except BaseException:
            self._end(chapter, "failed")
            raise
        self._end(chapter, "done")
        self.audience.look(self)

    def take(self, report: Report) -> None:
        """Listen to osc: its phases are chapters, its steps are theirs."""
        chapter = self.chapters.get(report.phase) or self._now()
        if report.kind == "phase" and report.phase:
            self._take_phase(report)
        elif chapter is not None and report.kind == "step" and chapter.state == "now":
            self._next_step(chapter, report.message)
        elif chapter is not None and report.kind == "progress":
            chapter.done, chapter.total, chapter.rate = report.done, report.total, report.rate
            chapter.unit = str(report.facts.get("unit", "rows"))
        elif report.kind in ("waiting", "note"):
            self.audience.tell(report.message)
        if report.kind in ("phase", "step"):
            self.audience.look(self)

    def failed(self) -> None:
        """Mark what was going on as failed."""
        for chapter in self.chapters.values():
            if chapter.state == "now":
                self._end(chapter, "failed")

    def _take_phase(self, report: Report) -> None:
        chapter = self.chapters[report.phase]
        if chapter.state == "now":
            self._end(chapter, "done")
        else:
            self._begin(report.phase)

    def _begin(self, name: str) -> Chapter:
        chapter = self.chapters[name]
        chapter.state, chapter.began = "now", time.monotonic()
        return chapter

    def _end(self, chapter: Chapter, state: State) -> None:
        chapter.seconds = chapter.elapsed_s()
        self._close_step(chapter)
        chapter.state, chapter.done = state, None

    def _next_step(self, chapter: Chapter, title: str) -> None:
        self._close_step(chapter)
        chapter.steps.append(Step(title, time.monotonic()))
        chapter.done = chapter.total = chapter.rate = None

    def _close_step(self, chapter: Chapter) -> None:
        if chapter.steps and chapter.steps[-1].seconds is None:
            chapter.steps[-1].seconds = time.monotonic() - chapter.steps[-1].began

    def _now(self) -> Chapter | None:
        return next((one for one in self.chapters.values() if one.state == "now"), None)
