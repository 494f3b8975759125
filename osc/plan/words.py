"""What is said to a person who mistyped a word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

GUESSED_LENGTH_MAX = 100
"""Longer words are not compared: guessing costs time that grows with their length."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'table'?``; where none is near, the known words if they are few, or nothing."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) if len(word) <= GUESSED_LENGTH_MAX else []
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if 0 < len(known) <= 30 else ""
