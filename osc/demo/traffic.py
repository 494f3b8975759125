"""The applications of the demo over time: who writes now, what they have done, and how long their transactions take."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from osc.demo.latency import percentile, within
from osc.demo.stage import Traffic
from osc.demo.writer import Script, Tally, Writer, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osc.demo.bank import Bank
    from osc.demo.options import DemoOptions

_WINDOW_S = 5.0


class Applications:
    """OLD (app-1) and NEW (app-2). NEW is two releases: one that only sets values, and one that adds to them."""

    def __init__(self, bank: Bank, options: DemoOptions) -> None:
        self._bank, self._options = bank, options
        self._writers: list[Writer] = []
        self._old: Writer | None = None
        self._new: Writer | None = None
        self._tallies: list[Tally] = []

    def deploy_old(self) -> None:
        """Start OLD."""
        self._old = self._start(self._bank.old(self._options), "app-1")

    async def retire_old(self) -> None:
        """End OLD, as a release would before contract."""
        await self._retire(self._old)
        self._old = None

    def deploy_new(self) -> None:
        """Start NEW as it may be from dual_write on: it writes values and does not rely on reading them."""
        self._new = self._start(self._bank.new_sets(self._options), "app-2")

    async def let_new_add(self) -> None:
        """Replace NEW by the release that increments, which is right once the fill is verified."""
        await self._retire(self._new)
        self._new = self._start(self._bank.new_adds(self._options), "app-2")

    async def retire_new(self) -> None:
        """End NEW."""
        await self._retire(self._new)
        self._new = None

    def kill(self) -> None:
        """Leave no process behind."""
        for writer in self._writers:
            writer.kill()

    def read(self) -> None:
        """Take over what the applications have logged."""
        for writer in self._writers:
            writer.read()

    def tally(self) -> Tally:
        """Return what the applications that have been retired did."""
        return total(self._tallies)

    def old_latencies(self, since: float, until: float) -> list[float]:
        """Return OLD's latencies between two moments of the epoch; complete once it is retired."""
        samples = [sample for writer in self._writers if writer.script.name == "app-1" for sample in writer.samples]
        return within(samples, since, until)

    def now(self) -> list[Traffic]:
        """Return what the running applications look like."""
        return list(self._now())

    def _now(self) -> Iterator[Traffic]:
        if self._old is not None:
            yield _look(self._old, "OLD  app-1", "abalance = abalance + d")
        if self._new is not None:
            adds = self._new.script.name == "app-2-adds"
            yield _look(self._new, "NEW  app-2", "balance = balance + d" if adds else "balance = v")

    def _start(self, script: Script, application: str) -> Writer:
        writer = Writer(self._bank.pgbench, self._bank.dsn(application), script, self._bank.home)
        self._writers.append(writer)
        return writer

    async def _retire(self, writer: Writer | None) -> None:
        if writer is not None:
            self._tallies.append(await writer.retire())


def _look(writer: Writer, name: str, what: str) -> Traffic:
    """Look at the last seconds before the newest transaction in the log, which pgbench writes in pieces."""
    newest = writer.samples[-1].at if writer.samples else 0.0
    recent = list(takewhile(lambda sample: sample.at > newest - _WINDOW_S, reversed(writer.samples)))
    span_s = newest - recent[-1].at if recent else 0.0
    tps = len(recent) / span_s if span_s > 0.2 else None
    return Traffic(name, what, tps, percentile([sample.ms for sample in recent], 0.99), ended=not writer.alive)
