"""The demo on a terminal: the phases as a checklist that fills itself, and the traffic below it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from osc.demo.lines import duration, pace_of, progress_of

if TYPE_CHECKING:
    from osc.demo.stage import Chapter, Stage, Step, Traffic

_MARKS = {
    "ahead": Text("○", style="dim"),
    "now": Text("●", style="yellow"),
    "done": Text("✓", style="green"),
    "failed": Text("✗", style="red"),
}
_STEP_SHOWN_S = 0.3
"""Steps shorter than this are not listed once they are done: they would hide those that take their time."""
_BAR_WIDTH = 24


class Screen:
    """An audience on a terminal; to be closed, so that the cursor comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._live.stop()

    def tell(self, line: str) -> None:
        """Write the sentence above the checklist, where it stays."""
        self._console.print(Text(f"  {line}", style="dim"))

    def look(self, stage: Stage) -> None:
        """Draw the state of things."""
        self._live.update(Group(_checklist(stage), Text(), _traffic(stage)), refresh=True)


def _checklist(stage: Stage) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2, justify="right")
    table.add_column(no_wrap=True, min_width=max(len(one.title) for one in stage.chapters.values()))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(justify="right", no_wrap=True, min_width=8)
    table.expand = True
    for chapter in stage.chapters.values():
        table.add_row(_MARKS[chapter.state], _title(chapter), Text(chapter.detail, style="dim"), _seconds(chapter))
        for step in _shown(chapter):
            table.add_row(Text(), Text(), _step(step), _step_seconds(step))
        if chapter.state == "now" and chapter.done is not None:
            table.add_row(Text(), Text(), _bar(chapter), Text())
    return table


def _title(chapter: Chapter) -> Text:
    return Text(chapter.title, style={"ahead": "dim", "now": "bold"}.get(chapter.state, ""))


def _step(step: Step) -> Text:
    mark = Text("→ ", style="yellow") if step.seconds is None else Text("· ", style="dim")
    return Text.assemble(mark, short(step.title))


def _bar(chapter: Chapter) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=chapter.total or 1, completed=chapter.done or 0, width=_BAR_WIDTH)
    row.add_row(bar, Text(progress_of(chapter)))
    return row


def _shown(chapter: Chapter) -> list[Step]:
    return [step for step in chapter.steps if step.seconds is None or step.seconds >= _STEP_SHOWN_S]


def _seconds(chapter: Chapter) -> Text:
    return Text("" if chapter.state == "ahead" else duration(chapter.elapsed_s()))


def _step_seconds(step: Step) -> Text:
    return Text("" if step.seconds is None else duration(step.seconds), style="dim")


def _traffic(stage: Stage) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in stage.traffic:
        table.add_row(*_application(one))
    if stage.longest_wait_ms is not None:
        table.add_row(
            Text("  osc"), Text("longest wait that it caused"), Text(), Text(f"{stage.longest_wait_ms:.0f} ms")
        )
    return table


def _application(one: Traffic) -> tuple[Text, ...]:
    if one.ended or one.tps is None:
        return Text(f"  {one.name}"), Text(one.what), Text(pace_of(one), style="red" if one.ended else "dim"), Text()
    return Text(f"  {one.name}"), Text(one.what), Text(f"{one.tps:4.0f} tps"), Text(f"p99 {one.p99_ms:6.1f} ms")


def short(title: str) -> str:
    """Return a step's title without the schema and cut at its first clause: it has half a line."""
    return re.split(r"[;(]", title.replace("public.", ""), maxsplit=1)[0].strip()
