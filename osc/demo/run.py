"""The story of the demo: two applications write, osc takes the plan through five phases, and everything is counted."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from osc.demo.bank import PLAN_ID, Bank, open_bank
from osc.demo.beside import beside
from osc.demo.counting import count
from osc.demo.report import DemoReport
from osc.demo.stage import Audience, Chapter, Nobody, Stage
from osc.demo.traffic import Applications
from osc.demo.watcher import Watcher
from osc.errors import Conflict, Failed
from osc.pg.target import Target
from osc.program import Phase
from osc.state import changes
from osc.verbs.ack import ack
from osc.verbs.advance import advance
from osc.verbs.apply import apply
from osc.verbs.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from osc.demo.options import DemoOptions

Epilogue = Callable[[DemoReport, Bank], Awaitable[None]]
"""What is done with the report while the server still runs."""

_LOOK_S = 0.25
_FOLLOW_S = 0.1
_WARM_UP_S = 1.0
"""The first transactions pay for connecting and for cold caches; they count, but not as latencies."""


async def run_demo(
    options: DemoOptions, audience: Audience | None = None, epilogue: Epilogue | None = None
) -> DemoReport:
    """Run the demo and return its report; nothing is left of it afterwards, also when it fails or is cancelled.

    Raises Failed when it could not be run to its end; promises that were not kept are in the report.
    """
    stage = Stage(audience or Nobody())
    async with AsyncExitStack() as stack:
        with stage.chapter("server") as chapter:
            bank = await stack.enter_async_context(open_bank())
            chapter.detail = f"PostgreSQL {bank.server.version}"
        demo = _Demo(options, stage, bank)
        stack.callback(demo.end)
        async with beside(demo.keep_looking):
            report = await demo.perform_in_time()
        if epilogue is not None:
            await epilogue(report, bank)
    return report


@dataclass
class _Demo:
    options: DemoOptions
    stage: Stage
    bank: Bank
    session: Session = field(init=False)
    applications: Applications = field(init=False)
    watcher: Watcher = field(init=False)
    mismatches: int = 0

    def __post_init__(self) -> None:
        self.session = Session(Target.resolve(self.bank.url), listener=self.stage.take, who="osc demo")
        self.applications = Applications(self.bank, self.options)
        self.watcher = Watcher(self.bank.dsn("watcher"))

    async def perform_in_time(self) -> DemoReport:
        """Run the whole story; raise Failed if it takes absurdly long."""
        try:
            with anyio.fail_after(self.options.limit_s):
                return await self.perform()
        except TimeoutError:
            raise Failed(
                f"the demo was not finished after {self.options.limit_s:.0f} s; everything of it is removed",
                hint="try it with fewer --rows",
            ) from None

    async def perform(self) -> DemoReport:
        """Run the whole story."""
        with self.stage.chapter("accounts") as chapter:
            await self.bank.fill(self.options, _counter(chapter, self.options.rows))
        plan = self.bank.plan()
        self.watcher.start()
        began = time.time()
        with self.stage.chapter("before", f"{self.options.old_rate} transactions per second"):
            self.applications.deploy_old()
            await anyio.sleep(self.options.before_s + _WARM_UP_S)
        changing = time.time()
        try:
            await self._until_switch(plan)
            switched = time.time()
            await self._until_the_end(began)
        except BaseException:
            self.stage.failed()
            raise
        with self.stage.chapter("checks"):
            return await count(
                self.bank, self.session, self.options, applications=self.applications, stays=self.watcher.stopped(),
                before=(began + _WARM_UP_S, changing), during=(changing, switched), mismatches=self.mismatches,
                began=self.stage.began,
            )  # fmt: skip

    async def _until_switch(self, plan: Path) -> None:
        """OLD writes all the time; NEW sets values from dual_write on and adds as soon as the fill is verified."""
        await apply(self.session, plan, to=Phase.DUAL_WRITE)
        self.applications.deploy_new()
        self._tell("app-2 is deployed beside app-1; until the fill is verified it only sets values")
        await self._early_ack_is_refused()
        adding = anyio.Event()
        async with beside(partial(self._release_new_when_filled, adding)):
            await apply(self.session, plan, to=Phase.BACKFILL)
            await adding.wait()
        await ack(self.session, PLAN_ID, "app-2")
        self._tell("osc ack app-2: opened; the new application is live")
        await advance(self.session, PLAN_ID, to=Phase.SWITCH)

    async def _until_the_end(self, began: float) -> None:
        """Both write on behind switch; OLD is retired, as a release would do it, before its column goes."""
        left_s = self.options.seconds - (time.time() - began)
        with self.stage.chapter("both", "the new column is the truth; both still write"):
            await anyio.sleep(max(self.options.after_switch_s, left_s))
            self.mismatches = await self.bank.ask("mismatches")
        await self.applications.retire_old()
        self._tell("app-1 is retired")
        await ack(self.session, PLAN_ID, "old-retired")
        await advance(self.session, PLAN_ID, to=Phase.CONTRACT)
        await anyio.sleep(self.options.after_contract_s)
        await self.applications.retire_new()

    async def _early_ack_is_refused(self) -> None:
        try:
            await ack(self.session, PLAN_ID, "app-2")
        except Conflict:
            self._tell("osc ack app-2: refused, the fill is not verified yet")
        else:
            raise Failed("the ack that app-2 is live was accepted before the fill was verified")

    async def _release_new_when_filled(self, adding: anyio.Event) -> None:
        async with self.session.connection("demo:filled", read_only=True) as conn:
            while True:
                change = await changes.find(conn, PLAN_ID)
                if change is not None and change.filled_at is not None:
                    break
                await anyio.sleep(_FOLLOW_S)
        await self.applications.let_new_add()
        self._tell("the next release of app-2 is deployed: it reads and adds")
        adding.set()

    async def keep_looking(self) -> None:
        """Keep the audience up to date."""
        while True:
            self.applications.read()
            self.stage.traffic = self.applications.now()
            self.stage.longest_wait_ms = self.watcher.stays.longest.ms if self.stage.traffic else None
            self.stage.audience.look(self.stage)
            await anyio.sleep(_LOOK_S)

    def end(self) -> None:
        """Leave no process and no thread behind."""
        self.applications.kill()
        self.watcher.stop()

    def _tell(self, line: str) -> None:
        self.stage.audience.tell(line)


def _counter(chapter: Chapter, rows: int) -> Callable[[int], None]:
    def told(made: int) -> None:
        chapter.done, chapter.total, chapter.unit = min(made, rows), rows, "rows"

    return told
