"""status --watch: redrawn in place on a terminal; elsewhere a line per change of state, and one per ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from osc.cli.standings import one_line, overview_text
from osc.settings import DEFAULTS

if TYPE_CHECKING:
    from osc.verbs.standing import Overview


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

    with Live(
        console=Console(no_color=not color, highlight=False), auto_refresh=False, vertical_overflow="crop"
    ) as live:
        async with aclosing(looks):
            async for overview in looks:
                text = overview_text(overview, whole=whole, color=color)
                head = f"{overview.at:%H:%M:%S} UTC  {overview.database}  (Ctrl-C leaves; nothing is stopped by it)\n\n"
                live.update(Text.from_ansi(head + text), refresh=True)


async def _lines(looks: AsyncGenerator[Overview, None]) -> None:
    told, told_at = {}, 0.0  # type: ignore[var-annotated]
    async with aclosing(looks):
        async for overview in looks:
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
