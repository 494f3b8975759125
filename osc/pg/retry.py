"""Trying again, for errors that time mends: a bounded number of times, ever slower, by the injected clock.

Apart from the lock gate, whose retries are bounded by a budget of lock time and not by their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from osc.pg.outcome import During, Outcome, classify

if TYPE_CHECKING:
    from collections.abc import Collection

    from osc.clock import Clock
    from osc.settings import Settings

SAME_SESSION = frozenset({Outcome.TRANSIENT})
"""Outcomes that the same work on a usable session may mend."""
CONNECTING = frozenset({Outcome.TRANSIENT, Outcome.UNREACHABLE})
"""Outcomes that work which opens its own session may be repeated on."""


def retrying(
    *, settings: Settings, clock: Clock, during: During, outcomes: Collection[Outcome] = SAME_SESSION
) -> AsyncRetrying:
    """Return a loop of tenacity: await it with the work as argument, or ``async for attempt in`` it.

    Work is repeated while its error classifies as one of ``outcomes``, at most
    ``settings.transient_attempts_max`` times; then, and for every other error, the error itself is raised.
    The pause is random below an exponentially growing bound ("full jitter").
    """
    return AsyncRetrying(
        stop=stop_after_attempt(settings.transient_attempts_max),
        wait=wait_random_exponential(multiplier=settings.transient_pause_first_s, max=settings.transient_pause_max_s),
        retry=retry_if_exception(lambda error: classify(error, during=during) in outcomes),
        sleep=clock.sleep,
        reraise=True,
    )
