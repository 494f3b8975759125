"""What an executor tells whoever watches it: plain values, no terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind = Literal["phase", "step", "progress", "waiting", "note"]


@dataclass(frozen=True, slots=True)
class Report:
    """Something that happened or is going on.

    ``done`` and ``total`` count rows (fill, verify) or blocks (index builds, phase by phase); ``total`` may be an estimate.
    ``rate`` is in the same unit per second, over the last two minutes. ``waiting`` says for what it waits: ``lock``, ``paused``, ``rows``,
    ``snapshots``, ``server``, ``throttle``.
    """

    kind: Kind
    change: str
    message: str
    phase: str = ""
    step: str = ""
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    waiting: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


Listener: TypeAlias = Callable[[Report], None]


def silent(report: Report) -> None:
    """Listen to nothing."""
