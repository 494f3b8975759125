"""The runner: takes the lead, walks to what was last wished for, and comes back after lost sessions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from osc.errors import Conflict, LoginRefused, NotPrimary, OscError, Unreachable
from osc.executor.backward import roll_back
from osc.executor.explaining import last_words, mends_itself, trying_again, unexpected
from osc.executor.forward import forward
from osc.executor.lead import Executor, Lead, Redirected
from osc.executor.reports import Report
from osc.executor.stepping import NO_FAILURE, refuse_ambiguous
from osc.executor.verdicts import verify_change
from osc.pg.lock_limits import pause_s
from osc.settings import Settings
from osc.state import changes, journal, slices
from osc.state.changes import Change
from osc.state.transitions import State

Work = Callable[[Lead], Awaitable[None]]


@dataclass
class _Tries:
    """How often the lead was taken anew, and how far the change was then: every step further begins the count again."""

    lost: int = 0
    logins: int = 0
    """How often in a row the role was not let in."""
    epoch: int | None = None
    mark: object = None

    def leads(self, epoch: int, mark: object) -> None:
        if mark != self.mark:
            self.lost, self.mark = 0, mark
        self.logins = 0
        self.epoch = epoch

    def failed(self, error: Exception, settings: Settings) -> float | None:
        """Return for how long to wait before the next try, ``None`` if there shall be none."""
        self.lost += 1
        self.logins = self.logins + 1 if isinstance(error, LoginRefused) else 0
        if self.lost >= settings.leads_max or self.logins >= settings.logins_max:
            return None
        if self.logins:
            return settings.login_pause_s
        first_s, max_s = settings.transient_pause_first_s, settings.transient_pause_max_s
        return pause_s(self.lost - 1, first_s=first_s, max_s=max_s, jitter=random.random())


async def run_change(executor: Executor, change: Change, work: Work | None = None) -> Change | None:
    """Lead ``change`` to the target in its row and return it, or return ``None`` while another executor leads.

    Sessions that end are opened anew, under a new epoch: then every statement that may still run is ended first, and
    the journal says what is done (I18). Raises what stopped the change; its row keeps it as ``problem``. Raises
    LeaseLost if another executor took the lead meanwhile.
    """
    tries = _Tries()
    while True:
        try:
            return await _lead_once(executor, change, work, tries)
        except (psycopg.Error, OSError, Unreachable, NotPrimary) as error:
            if not mends_itself(error):
                raise unexpected(error) from error
            wait_s = tries.failed(error, executor.settings)
            if wait_s is None:
                raise _given_up(change, error) from error
            executor.listener(Report(kind="waiting", change=change.id, message=trying_again(error), waiting="server"))
        await executor.clock.sleep(wait_s)


def _given_up(change: Change, error: Exception) -> Unreachable:
    goes_on = f"osc advance {change.id} goes on where it stopped"
    if isinstance(error, Unreachable | NotPrimary):
        what, hint = "no session could be had again and again", goes_on
    else:
        what = "sessions ended again and again"
        hint = f"{goes_on}; connect around a proxy that cuts silent connections: an index build is silent until it ends"
    return Unreachable(f"{what}; the checkpoint is kept. The last try ended so: {last_words(error)}", hint=hint)


async def _lead_once(executor: Executor, change: Change, work: Work | None, tries: _Tries) -> Change | None:
    async with executor.lead(change, after_epoch=tries.epoch) as lead:
        if lead is None:
            return None
        tries.leads(lead.epoch, await _mark(lead))
        if work is not None:
            await work(lead)
        else:
            await _to_target(lead)
        return await lead.refresh()


async def _mark(lead: Lead) -> object:
    """Return how far the change is: two equal marks mean that nothing was done between them."""
    rows = await lead.ask(journal.steps(lead.control, lead.number))
    walked = await lead.ask(slices.progress(lead.control, [lead.number]))
    return lead.change.state, tuple(row.state for row in rows), tuple(one.batches for one in walked)


async def _to_target(lead: Lead) -> None:
    """Go where the row says; what stops it is kept as the change's problem, which a new run begins by clearing."""
    await lead.ask(changes.problem(lead.control, lead.number, None, epoch=lead.epoch, who=lead.who))
    try:
        await _walk(lead)
    except OscError as error:
        await _record_problem(lead, error)
        raise
    except psycopg.Error as error:
        if mends_itself(error):
            raise
        await _record_problem(lead, unexpected(error))
        raise unexpected(error) from error


async def _walk(lead: Lead) -> None:
    while True:
        change = await lead.refresh()
        lead.wished = (change.direction, change.target)
        await refuse_ambiguous(lead)
        with contextlib.suppress(Redirected):
            if change.state is State.ROLLED_BACK:
                return
            if change.state is State.ROLLING_BACK and change.direction == "forward":
                raise _half_back(change)
            if change.direction == "back":
                return await roll_back(lead, change.target)
            if change.target is not None:
                return await forward(lead, change.target)
            return


def _half_back(change: Change) -> Conflict:
    return Conflict(
        f"{change.id} is being rolled back and cannot go forward from there; nothing was changed",
        hint=f"osc rollback {change.id} goes on with it, to the beginning or --to a phase that is still complete",
    )


async def _record_problem(lead: Lead, error: OscError) -> None:
    if error.exit_code in NO_FAILURE:
        return
    kept = (error.redacted() if lead.settings.redact else error).as_kept()
    told = {**kept, "step": error.facts.get("step")}
    await lead.ask(changes.problem(lead.control, lead.number, told, epoch=lead.epoch, who=lead.who))


__all__ = ["Work", "run_change", "verify_change"]
