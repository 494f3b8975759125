"""Colours, as few as help: a condition is told by its word, the colour only makes it found sooner."""

from __future__ import annotations

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "red bold": "1;31"}


def paint(text: str, style: str, *, on: bool) -> str:
    """Return ``text`` in the style, or as it is where colours are off."""
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if on and style else text


def span(seconds: float) -> str:
    """Return a length of time as people say it: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 90:
        return f"{minutes} min"
    if hours < 36:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def count(number: float) -> str:
    """Return a number with its thousands apart: ``1,234,567``."""
    return f"{round(number):,}"
