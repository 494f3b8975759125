"""The demo as plain lines, for logs and pipes: what begins, what ends, and how it goes every few seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from osc.demo.stage import Chapter, Stage, Traffic

_EVERY_S = 10.0


class Lines:
    """An audience that writes lines to ``out``, each with the seconds since the start."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._last = self._began
        self._said: set[str] = set()

    def tell(self, line: str) -> None:
        """Write the sentence."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {line}", file=self._out, flush=True)

    def close(self) -> None:
        """Nothing is held open."""

    def look(self, stage: Stage) -> None:
        """Write what has begun or ended since the last look, and now and then how it goes."""
        for chapter in stage.chapters.values():
            self._news(chapter)
        if time.monotonic() - self._last >= _EVERY_S:
            self._last = time.monotonic()
            self.tell(state_of(stage))

    def _news(self, chapter: Chapter) -> None:
        if chapter.state != "ahead":
            self._once(f"{chapter.title}: begins")
        for step in chapter.steps:
            self._once(f"{chapter.title}: {step.title}")
        if chapter.state in ("done", "failed"):
            ended = "done" if chapter.state == "done" else "failed"
            self._once(f"{chapter.title}: {ended} after {duration(chapter.seconds)}")

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self.tell(line)


def state_of(stage: Stage) -> str:
    """Return one line on how it goes."""
    now = next((chapter for chapter in stage.chapters.values() if chapter.state == "now"), None)
    parts = [f"{now.title} {progress_of(now)}".strip()] if now else []
    parts += [f"{one.name} {pace_of(one)}" for one in stage.traffic]
    if stage.longest_wait_ms is not None:
        parts.append(f"longest wait for osc {stage.longest_wait_ms:.0f} ms")
    return "; ".join(parts)


def duration(seconds: float) -> str:
    """Return ``23 ms`` or ``9.6 s``."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def pace_of(one: Traffic) -> str:
    """Return how fast an application goes."""
    if one.ended:
        return "has ended"
    return "begins" if one.tps is None else f"{one.tps:.0f} tps, p99 {one.p99_ms:.1f} ms"


def progress_of(chapter: Chapter) -> str:
    """Return how far the chapter is: ``45% (31,234 rows/s)``; empty where it does not count."""
    if chapter.done is None:
        return ""
    share = f"{100 * chapter.done / chapter.total:.0f}%" if chapter.total else f"{chapter.done:,} {chapter.unit}"
    return share + (f" ({chapter.rate:,.0f} {chapter.unit}/s)" if chapter.rate else "")
