"""Named points before and after each commit and each DDL; no-ops unless a test arms them.

``OSC_TEST_FAILPOINTS="batch.before=kill9@3,step.after=raise:57P01"`` arms points: the action fires at the n-th
passage (``@n``, default 1). Arming needs ``OSC_TEST_FAILPOINTS_ALLOWED=1`` as well, so that a stray variable in
production is an error and not an accident.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field

import anyio

from osc.errors import UsageError

PAIRS: tuple[str, ...] = (
    "migrate",  # schema osc: made, or brought to the next version
    "word",  # what a person says: a gate, a pause, a knob, an adoption
    "register",  # change, steps, lease and history of a plan; the same described or compiled anew
    "target",  # the wish
    "lease",  # taking the lead
    "state",  # each move of a change
    "start",  # a step's row: started
    "finish",  # a step's row: done, undone or failed, where no transaction of the step says so
    "transaction",  # ddl, sql and switch: one message with the step's row
    "build",  # CREATE INDEX CONCURRENTLY
    "rename",  # an index set aside, or into place with the step's row
    "drop_index",  # DROP INDEX CONCURRENTLY
    "scan",  # VALIDATE CONSTRAINT, ANALYZE
    "note",  # what a running step writes down for a successor
    "slices",  # the slices of a fill
    "drop_slices",  # their end, when the fill is undone
    "claim",  # a lane's claim of a slice
    "batch",
    "verdict",  # of a verification: pass begun
    "verify",  # of a verification: pass ended
    "filled",
    "forget",  # what a fill kept for the way back, a piece of it
    "undo",  # around a step's undo
    "problem",
)
"""What is committed or changed by itself; each has a point before and one after it."""

POINTS: frozenset[str] = frozenset(f"{pair}.{side}" for pair in PAIRS for side in ("before", "after"))
"""Every failpoint there is. Passing an unknown one is a programming error."""
EVERY = "*"


@dataclass
class _Armed:
    action: str
    passage: int
    passed: int = 0


@dataclass
class Failpoints:
    """The points of one process: which are armed, which have been passed."""

    armed: dict[str, _Armed] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> Failpoints:
        """Read ``OSC_TEST_FAILPOINTS``; raise UsageError if it is set without permission or names no point."""
        text = os.environ.get("OSC_TEST_FAILPOINTS", "")
        if text and os.environ.get("OSC_TEST_FAILPOINTS_ALLOWED") != "1":
            raise UsageError("OSC_TEST_FAILPOINTS is set, which only tests may do", hint="unset it")
        points = cls()
        for item in filter(None, text.split(",")):
            name, _, action = item.partition("=")
            points.arm(name.strip(), action.strip())
        return points

    def arm(self, name: str, action: str) -> None:
        """Arm ``name`` with ``kill9``, ``stop``, ``sleep:SECONDS``, ``stall:SECONDS``, ``memory`` or ``raise:TEXT``.

        Each may have ``@n``. A ``sleep`` lets the rest of the process go on, a ``stall`` does not, not even heartbeats.
        ``*`` is every point: its n-th passage is the n-th of any.
        """
        if name not in POINTS | {EVERY}:
            raise UsageError(f"there is no failpoint {name!r}")
        verb, _, passage = action.partition("@")
        self.armed[name] = _Armed(verb, int(passage or 1))

    async def hit(self, name: str) -> None:
        """Pass the point ``name``; does nothing unless it is armed."""
        assert name in POINTS, name
        self.hits[name] = self.hits.get(name, 0) + 1
        for armed in filter(None, (self.armed.get(name), self.armed.get(EVERY))):
            armed.passed += 1
            if armed.passed == armed.passage:
                await _act(armed.action)


class FailpointRaised(RuntimeError):
    """What an armed ``raise`` raises; deliberately outside the tree of osc errors."""


async def _act(action: str) -> None:
    verb, _, argument = action.partition(":")
    if verb == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif verb == "sleep":
        await anyio.sleep(float(argument))
    elif verb == "stall":
        time.sleep(float(argument))  # noqa: ASYNC251  # that it blocks the event loop is the fault
    elif verb == "memory":
        raise MemoryError
    elif verb == "raise":
        raise FailpointRaised(argument)
    else:
        raise UsageError(f"there is no failpoint action {verb!r}")


_points: Failpoints | None = None


def points() -> Failpoints:
    """Return the failpoints of this process."""
    global _points
    if _points is None:
        _points = Failpoints.from_environment()
    return _points


async def failpoint(name: str) -> None:
    """Pass the point ``name`` of this process."""
    await points().hit(name)
