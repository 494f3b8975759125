"""status --watch: redrawn in place on a terminal; elsewhere a line per change of state, and one per ten seconds."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from osc.cli.standings import one_line, overview_text
from osc.settings import DEFAULTS

if TYPE_CHECKING:
    from osc.verbs.standing import Overview, Progress

WINDOW_S = 30.0
"""Over so much time the rate is taken; since the beginning it would hide what happens now."""


class Rates:
    """Rates over the last seconds, from one look to the next."""

    def __init__(self) -> None:
        self._marks: dict[tuple[str, str], deque[tuple[float, int]]] = {}

    def fresh(self, overview: Overview) -> Overview:
        """Return ``overview`` with the rates and remaining times of the last WINDOW_S seconds."""
        shown = tuple(
            replace(one, progress=self._fresh(one.id, one.progress)) if one.progress else one
            for one in overview.changes
        )
        return replace(overview, changes=shown)

    def _fresh(self, change_id: str, progress: Progress) -> Progress:
        marks = self._marks.setdefault((change_id, progress.step), deque())
        now = time.monotonic()
        marks.append((now, progress.done))
        while marks[0][0] < now - WINDOW_S:
            marks.popleft()
        passed, done = now - marks[0][0], progress.done - marks[0][1]
        if passed < 2.0:
            return progress
        rate = done / passed
        left_s = (progress.total - progress.done) / rate if progress.total and rate else None
        return replace(progress, rate=rate, eta_s=left_s)


async def watch(looks: AsyncGenerator[Overview, None], *, whole: bool, color: bool) -> None:
    """Show each look until the command is interrupted."""
    if sys.stdout.isatty():
        await _live(looks, whole=whole, color=color)
    else:
        await _lines(looks)


async def _live(looks: AsyncGenerator[Overview, None], *, whole: bool, color: bool) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    rates = Rates()
    with Live(
        console=Console(no_color=not color, highlight=False), auto_refresh=False, vertical_overflow="crop"
    ) as live:
        async with aclosing(looks):
            async for overview in looks:
                text = overview_text(rates.fresh(overview), whole=whole, color=color)
                head = f"{overview.at:%H:%M:%S} UTC  {overview.database}  (Ctrl-C leaves; nothing is stopped by it)\n\n"
                live.update(Text.from_ansi(head + text), refresh=True)


async def _lines(looks: AsyncGenerator[Overview, None]) -> None:
    rates, told, told_at = Rates(), {}, 0.0  # type: ignore[var-annotated]
    async with aclosing(looks):
        async for look in looks:
            overview = rates.fresh(look)
            facts = {
                one.id: (one.state, one.condition, one.waiting, one.step and one.step.id) for one in overview.changes
            }
            due = time.monotonic() - told_at >= DEFAULTS.progress_line_s and any(
                one.progress for one in overview.changes
            )
            if facts == told and not due:
                continue
            told, told_at = facts, time.monotonic()
            shown = [one_line(one) for one in overview.changes] or [f"no open changes in {overview.database}"]
            sys.stdout.write("".join(f"{overview.at:%H:%M:%S} {line}\n" for line in shown))
            sys.stdout.flush()
