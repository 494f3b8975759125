"""How a handler tries again after an error of the server: by its class, ever slower, within bounds."""

from __future__ import annotations

import random
from dataclasses import dataclass

import psycopg

from osc.executor.explaining import explain
from osc.executor.lead import Lead
from osc.pg.lock_limits import pause_s
from osc.pg.outcome import During, Outcome, classify


@dataclass
class Patience:
    """The tries of one step. Waiting for locks and pauses has no end, everything else has."""

    lead: Lead
    title: str
    during: During = "transaction"
    misses: int = 0
    transients: int = 0
    cancels: int = 0

    async def after(self, error: psycopg.Error) -> None:
        """Return, some time later, if the same again may work; else raise what ``error`` means.

        Raises ``error`` itself where the outcome is not known: the runner takes the lead anew, and the step's row or
        the catalog decides.
        """
        outcome = classify(error, during=self.during)
        if outcome in (Outcome.AMBIGUOUS, Outcome.UNREACHABLE):
            raise error
        if outcome is Outcome.PAUSED:
            await self.lead.may_go_on()
        elif outcome is Outcome.LOCK_NOT_AVAILABLE:
            self.misses += 1
            await self._wait(self.misses, self.lead.settings.lock_retry_pause_first_s)
        elif outcome is Outcome.TRANSIENT and self.transients < self.lead.settings.transient_attempts_max:
            self.transients += 1
            await self._wait(self.transients, self.lead.settings.transient_pause_first_s)
        elif outcome is Outcome.CANCELLED and self.cancels + 1 < self.lead.settings.strong_overruns_max:
            self.cancels += 1
            await self._wait(self.cancels, self.lead.settings.transient_pause_first_s)
        else:
            raise explain(self.title, error) from error

    async def _wait(self, tries: int, first_s: float) -> None:
        longest_s = self.lead.settings.lock_retry_pause_max_s
        await self.lead.wait(pause_s(tries - 1, first_s=first_s, max_s=longest_s, jitter=random.random()))
        await self.lead.may_go_on()
