"""Keeping the lead and ending the last one: heartbeats beside the work, release, and the end of older epochs' backends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import psycopg

from osc.errors import LeaseLost, OutcomeUnknown
from osc.executor.noting import note_progress
from osc.pg import activity
from osc.pg.session import Connection, within
from osc.state import lease

if TYPE_CHECKING:
    from osc.executor.lead import Executor, Lead

OLD_BACKEND_POLL_S = 0.05


@asynccontextmanager
async def heartbeats(lead: Lead) -> AsyncIterator[None]:
    """Keep the lease alive beside the work; when it is lost, cancel the work and raise LeaseLost.

    A heartbeat that fails or finds no answer ends the work as well: nobody works who cannot prove that he leads (F17).
    How far the work is, is written down beside it.
    """
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_beat, lead, group.cancel_scope)
            group.start_soon(note_progress, lead)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        # The heart's task and the body: whichever failed first is the one to tell, the other followed from it.
        raise single(errors) from None
    if lead.lost is not None:
        raise lead.lost


def single(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def lease_lost(change_id: str, epoch: int) -> LeaseLost:
    """Return the error for a leader that leads no more."""
    return LeaseLost(
        "another executor leads this change now; this one stopped and wrote nothing more",
        hint=f"osc status {change_id}",
        facts={"change": change_id, "epoch": epoch},
    )


@asynccontextmanager
async def beside(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run ``work`` beside the block, and end it with the block; errors of both come out as they are."""
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise single(errors) from None


async def _beat(lead: Lead, scope: anyio.CancelScope) -> None:
    while True:
        await lead.clock.sleep(lead.settings.heartbeat_s)
        beat = lease.heartbeat(lead.heart, lead.number, lead.executor.owner, lead.epoch)
        if not await within(lead.heart, lead.settings.lease_s / 2, beat):
            lead.lost = lease_lost(lead.change.id, lead.epoch)
            scope.cancel()
            return


async def release(executor: Executor, control: Connection, change: int, epoch: int, *, lost: bool = False) -> None:
    """Give the lead up at once, so that a successor need not wait for the lease to run out; never raises."""
    if lost or control.closed:
        return
    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):
        releasing = lease.release(control, change, executor.owner, epoch)
        await within(control, executor.settings.reply_grace_s, releasing)


async def end_old_epochs(lead: Lead) -> None:
    """Terminate the recorded backends of older epochs and wait until they are gone (F03, F05, rationale.md 13)."""
    deadline = lead.clock.monotonic() + lead.settings.takeover_wait_s
    while True:
        alive = [one for one in await lead.ask(lease.old_backends(lead.control, lead.number, lead.epoch)) if one.alive]
        if not alive:
            break
        for one in alive:
            # Without the right to end another role's session it can only be waited for.
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                await activity.terminate(lead.observer, one.pid, one.backend_start)
        if lead.clock.monotonic() > deadline:
            pids = ", ".join(str(one.pid) for one in alive)
            raise OutcomeUnknown(
                f"backend {pids} of an executor that is gone still runs and does not end; nothing was begun",
                hint=f"look at pg_stat_activity, end it with pg_terminate_backend, then osc advance {lead.change.id}",
                facts={"pids": [one.pid for one in alive]},
            )
        await lead.clock.sleep(OLD_BACKEND_POLL_S)
    await lead.ask(lease.forget_backends(lead.control, lead.number, lead.epoch))
