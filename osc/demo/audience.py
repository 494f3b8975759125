"""Chooses how the demo is told: a live screen on a terminal, lines elsewhere."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from osc.demo.lines import Lines
from osc.demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def audience(stream: TextIO, *, color: bool = True) -> Iterator[Screen | Lines]:
    """Yield an audience that tells on ``stream``; its ``close`` may be called before the end, to print below it."""
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    told = Screen(Console(file=stream, no_color=not color, highlight=False)) if live else Lines(stream)
    try:
        yield told
    finally:
        told.close()
