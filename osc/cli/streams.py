"""Writing for people and pipes that may have gone: apart because no word that is not heard may stop the work (F09)."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def say(stream: TextIO, text: str) -> OSError | None:
    """Write ``text`` and see it out; return what kept it from being written, a full disk or a reader that has gone."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        return error
    return None


def answer(text: str) -> None:
    """Write a result to stdout. What is done is done: the exit code stays, and a lost answer is told on stderr."""
    lost = say(sys.stdout, text)
    if lost is not None and not isinstance(lost, BrokenPipeError):
        say(sys.stderr, f"the answer could not be written to stdout: {lost.strerror}; what it tells of has happened\n")


def settle() -> None:
    """Give up what a stream still holds and cannot get rid of, else Python would end with a complaint and code 120."""
    for stream in (sys.stdout, sys.stderr):
        if say(stream, "") is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
