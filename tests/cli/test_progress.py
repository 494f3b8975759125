"""Progress: a line for what happens, seldom one for what goes on; nothing that a name holds reaches the terminal."""

from __future__ import annotations

import io

import pytest

from osc.cli.paint import span
from osc.cli.progress import Lines, OnTerminal, listening, sentence
from osc.executor.reports import Report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def filled(done: int, **fields: object) -> Report:
    values = {"step": "fill", "total": 100, "rate": 10.0, **fields}
    return Report("progress", "00001_a", f"public.t: {done} rows", done=done, **values)  # type: ignore[arg-type]


def test_a_sentence_has_share_rate_and_remaining_time() -> None:
    assert sentence(filled(25)) == "public.t: 25% of 100, 10/s, 8 s left"
    assert sentence(filled(1_234_567, total=None)) == "public.t: 1,234,567 so far, 10/s"
    assert sentence(filled(25, rate=None)) == "public.t: 25% of 100"


def test_lines_tell_events_at_once_and_progress_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("osc.cli.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    tell = Lines(stream)
    tell(Report("step", "00001_a", "Fill", phase="backfill"))
    for done in range(30):
        tell(filled(done))
        now[0] += 1
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("00001_a [backfill] Fill")


def test_the_same_wait_is_told_once() -> None:
    stream = io.StringIO()
    tell = Lines(stream)
    for _ in range(5):
        tell(Report("waiting", "00001_a", "paused by ann", waiting="paused"))
    tell(Report("step", "00001_a", "Fill"))
    tell(Report("waiting", "00001_a", "paused by ann", waiting="paused"))
    assert len(stream.getvalue().splitlines()) == 3


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    stream = Terminal()
    with listening(stream, color=False) as tell:
        assert isinstance(tell.told, OnTerminal)
        tell(Report("phase", "00001_a", "backfill begins"))
        tell(filled(50))
        tell(Report("phase", "00001_a", "backfill is complete"))
    text = stream.getvalue()
    assert "50% of 100" in text
    assert "\x1b[?25h" in text  # the cursor is back
    assert text.index("backfill begins") < text.index("backfill is complete")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_no_name_can_colour_the_terminal_or_forge_a_line(stream: io.StringIO) -> None:
    with listening(stream, color=False) as tell:
        tell(Report("waiting", "00001_a", "pid 9 evil\x1b[31m\nOSC-E100 forged"))
    assert "\x1b[31m" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) <= 2


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "1 min"),
        (600, "10 min"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (-3, "0 s"),
    ],
)
def test_spans_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert span(seconds) == said
