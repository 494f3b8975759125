"""Progress on stderr: on a terminal a bar with rate and remaining time, elsewhere a line per ten seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from osc.cli.paint import count, paint, span
from osc.errors import printable
from osc.settings import DEFAULTS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from osc.executor.reports import Listener, Report


@contextmanager
def listening(stream: TextIO, *, verbose: bool = False, color: bool = True) -> Iterator[Listener]:
    """Yield a listener that tells reports on ``stream`` for the length of the block."""
    told = OnTerminal(stream, verbose=verbose, color=color) if stream.isatty() else Lines(stream, verbose=verbose)
    heard = Heard(told)
    try:
        yield heard
    finally:
        heard.close()


class Heard:
    """Tells as long as somebody can be told: a reader that has gone or a full disk ends the telling, never the work."""

    def __init__(self, told: Lines | OnTerminal) -> None:
        self.told: Lines | OnTerminal | None = told

    def __call__(self, report: Report) -> None:
        """Tell the report, unless nobody hears."""
        if self.told is not None:
            try:
                self.told(report)
            except OSError:
                self.told = None

    def close(self) -> None:
        """End the telling."""
        if self.told is not None:
            with contextlib.suppress(OSError):
                self.told.close()


def sentence(report: Report) -> str:
    """Return a progress report as one line: ``public.users: 45 % of 1,000,000, 52,000/s, 11 s left``."""
    what = report.message.partition(":")[0] if report.done is not None else report.message
    if report.done is None:
        return what
    if not report.total:
        parts = [f"{count(report.done)} so far"]
    else:
        parts = [f"{min(1.0, report.done / report.total):.0%} of {count(report.total)}"]
    if report.rate:
        parts.append(f"{count(report.rate)}/s")
        if report.total and report.total > report.done:
            parts.append(f"{span((report.total - report.done) / report.rate)} left")
    return f"{what}: {', '.join(parts)}"


class Lines:
    """A line for each thing that happens, and of what goes on one per ten seconds: for logs and pipes."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream, self._verbose = stream, verbose
        self._every_s = 1.0 if verbose else DEFAULTS.progress_line_s
        self._told_at: dict[tuple[str, str], float] = {}
        self._waiting: dict[str, str] = {}

    def __call__(self, report: Report) -> None:
        """Tell the report, unless it is too soon or was said last already."""
        if report.kind == "progress":
            self._progress(report)
        elif report.kind == "waiting":
            if self._waiting.get(report.change) != report.message:
                self._waiting[report.change] = report.message
                self._line(report, report.message)
        else:
            self._waiting.pop(report.change, None)
            self._line(report, report.message)

    def close(self) -> None:
        """Nothing is left open."""

    def _progress(self, report: Report) -> None:
        key = (report.change, report.step)
        now = time.monotonic()
        # The first report of a step waits, too: a step that takes a second needs no line about its progress.
        if now - self._told_at.setdefault(key, now) >= self._every_s:
            self._told_at[key] = now
            self._line(report, sentence(report))

    def _line(self, report: Report, text: str) -> None:
        facts = "".join(f" {name}={value}" for name, value in report.facts.items()) if self._verbose else ""
        phase = f" [{report.phase}]" if report.phase else ""
        line = printable(f"{datetime.now():%H:%M:%S} {report.change}{phase} {text}{facts}")
        self._stream.write(line + "\n")
        self._stream.flush()


class OnTerminal:
    """Phases and steps as they come, and below them one bar for what is going on now."""

    def __init__(self, stream: TextIO, *, verbose: bool = False, color: bool = True) -> None:
        self._stream, self._verbose, self._color = stream, verbose, color
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._last = ""
        self._change = ""

    def __call__(self, report: Report) -> None:
        """Tell the report."""
        if report.kind == "progress":
            self._progress(report)
        elif report.message != self._last:
            self._last = report.message
            self._drop_bar()
            self._line(report)

    def close(self) -> None:
        """Take the bar away and leave the cursor as it was."""
        self._drop_bar()

    def _line(self, report: Report) -> None:
        if report.change and report.change != self._change:
            self._change = report.change
            self._write(paint(printable(report.change), "bold", on=self._color))
        style = {"phase": "bold", "waiting": "yellow"}.get(report.kind, "")
        indent = {"phase": "  ", "step": "    "}.get(report.kind, "      ")
        facts = "".join(f" {name}={value}" for name, value in report.facts.items()) if self._verbose else ""
        self._write(indent + paint(printable(report.message + facts), style, on=self._color))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _progress(self, report: Report) -> None:
        if self._bar is None:
            self._bar = _bar(self._stream, color=self._color)
            self._bar.start()
        if self._task is None or self._step != report.step:
            self._step = report.step
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("", total=None)
        self._bar.update(
            self._task, completed=report.done or 0, total=report.total, description=printable(sentence(report))
        )

    def _drop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task = None, None


def _bar(stream: TextIO, *, color: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console: Console = Console(file=stream, no_color=not color, highlight=False)
    # markup: off, because a table may be called [red].
    text = TextColumn("{task.description}", markup=False)
    return Progress(
        TextColumn("     "),
        BarColumn(24, complete_style="cyan", finished_style="green", pulse_style="dim"),
        text,
        console=console,
        transient=True,
        refresh_per_second=4,
    )
