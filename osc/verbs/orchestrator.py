"""Orchestrator: every verb as a method, for programs that drive osc from Python and for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from osc.errors import OscError
from osc.verbs.ack import Acknowledged, ack
from osc.verbs.adopt import Adopted, adopt
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.deadline import within
from osc.verbs.explain import Explanation, explain
from osc.verbs.history import History, history
from osc.verbs.lint import LintResult, lint
from osc.verbs.new import Written, new
from osc.verbs.pause import Paused, Scope, pause
from osc.verbs.resolve import Resolved, resolve
from osc.verbs.resume import Resumed, resume
from osc.verbs.rollback import rollback
from osc.verbs.schema import schema
from osc.verbs.set_knob import Turned, set_knob
from osc.verbs.status import status, watch
from osc.verbs.verify import verify
from osc.verbs.wait import wait
from osc.verbs.worker import worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    from osc.program import Phase
    from osc.verbs.outcome import Outcome
    from osc.verbs.session import Session
    from osc.verbs.standing import Overview

T = TypeVar("T")


class Orchestrator:
    """The verbs on one database. Methods raise OscErrors only; ``timeout`` is in seconds and ends in TryAgainLater.

    Methods may be awaited from any task on an asyncio event loop; each opens the connections it needs and closes them.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    async def lint(self, paths: Sequence[Path]) -> LintResult:
        """Check plans, also against the database; only reads."""
        return await self._do(lint(self.session, paths), "lint")

    async def explain(self, path: Path) -> Explanation:
        """Return what a plan would do here; only reads."""
        return await self._do(explain(self.session, path), f"{path}")

    async def apply(
        self,
        path: Path,
        to: Phase | None = None,
        *,
        detach: bool = False,
        accept_drift: bool = False,
        timeout: float | None = None,
    ) -> list[Outcome]:
        """Register a plan, or each of a directory, and advance it; without ``to`` it stops after backfill."""
        return await self._do(
            apply(self.session, path, to=to, detach=detach, accept_drift=accept_drift), f"{path}", timeout
        )

    async def advance(
        self,
        change_id: str,
        to: Phase | None = None,
        *,
        if_ready: bool = False,
        detach: bool = False,
        timeout: float | None = None,
    ) -> Outcome:
        """Bring a change to ``to``, or to where it was last asked to go."""
        return await self._do(
            advance(self.session, change_id, to=to, if_ready=if_ready, detach=detach), change_id, timeout
        )

    async def wait(self, change_id: str, phase: Phase, timeout: float | None = None) -> Outcome:
        """Return when ``phase`` is complete, and at once when waiting cannot help."""
        return await self._do(wait(self.session, change_id, phase, timeout), change_id)

    async def ack(self, change_id: str, gate: str, *, revoke: bool = False, reason: str = "") -> Acknowledged:
        """Open a gate, or close it again."""
        return await self._do(ack(self.session, change_id, gate, revoke=revoke, reason=reason), change_id)

    async def rollback(self, change_id: str, to: Phase | None = None, timeout: float | None = None) -> Outcome:
        """Undo everything behind ``to``, or all of it."""
        return await self._do(rollback(self.session, change_id, to=to), change_id, timeout)

    async def verify(self, change_id: str, timeout: float | None = None) -> Outcome:
        """Look at every row now and say whether all are in step."""
        return await self._do(verify(self.session, change_id), change_id, timeout)

    async def status(self, change_id: str | None = None) -> Overview:
        """Return where the open changes stand, worst first; only reads."""
        return await self._do(status(self.session, change_id), "status")

    def watch(self, change_id: str | None = None, every_s: float = 1.0) -> AsyncGenerator[Overview, None]:
        """Yield the status again and again, for ever."""
        return watch(self.session, change_id, every_s)

    async def pause(self, scope: Scope, *, reason: str = "") -> Paused:
        """Let nothing more be written within ``scope``."""
        subject = f"{scope}"  # before the work is made: it refuses what names no table
        return await self._do(pause(self.session, scope, reason=reason), subject)

    async def resume(self, scope: Scope, *, reason: str = "") -> Resumed:
        """Lift a pause."""
        subject = f"{scope}"  # before the work is made: it refuses what names no table
        return await self._do(resume(self.session, scope, reason=reason), subject)

    async def set(
        self, change_id: str, key: str, value: str | None, *, ttl: float | None = None, reason: str = ""
    ) -> Turned:
        """Turn a pacing knob, for ``ttl`` seconds or for good."""
        return await self._do(set_knob(self.session, change_id, key, value, ttl=ttl, reason=reason), change_id)

    async def resolve(self, change_id: str, step: str, *, happened: bool, reason: str) -> Resolved:
        """Say whether an ambiguous step happened."""
        return await self._do(resolve(self.session, change_id, step, happened=happened, reason=reason), change_id)

    async def adopt(self, *, reason: str) -> Adopted:
        """Let the changes of a copied or restored database go on in it."""
        return await self._do(adopt(self.session, reason=reason), "adopt")

    async def history(self, change_id: str | None = None) -> History:
        """Return what happened, by whom and why; only reads."""
        return await self._do(history(self.session, change_id), "history")

    async def worker(self, *, once: bool = False, poll_s: float | None = None) -> None:
        """Bring every change to its target, for ever or once."""
        await self._do(worker(self.session, once=once, poll_s=poll_s), "worker")

    async def new(
        self, kind: str, plan_id: str, *, table: str | None = None, directory: Path = Path("plans")
    ) -> Written:
        """Write a starter plan; needs no database."""
        return new(kind, plan_id, table=table, directory=directory)

    async def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of plans; needs no database."""
        return schema()

    async def _do(self, work: Awaitable[T], subject: str, timeout: float | None = None) -> T:
        try:
            return await within(work, timeout_s=timeout, subject=subject)
        except OscError as error:
            if not self.session.settings.redact:
                raise
            raise error.redacted() from None  # what it came from quotes the same
