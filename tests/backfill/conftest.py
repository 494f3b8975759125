"""What the tests of the fill share: a change led by this process, and a lane that takes one batch at a time."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from osc.executor.backfill import slicing
from osc.executor.backfill.inspection import inspect
from osc.executor.backfill.pace import Pace
from osc.executor.backfill.session import prepare
from osc.executor.backfill.skipped import revisit_all
from osc.executor.handlers import fill
from osc.pg.session import close
from osc.pg.target import Target
from osc.plan import open_text
from osc.program import FillStep, Phase, VerifyStep
from osc.settings import DEFAULTS
from osc.state import slices
from osc.verbs.advance import advance_change
from osc.verbs.apply import register
from osc.verbs.moving import executor
from osc.verbs.session import Session
from tests.sync.rig import plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from osc.executor.backfill.lane import Lane
    from osc.executor.backfill.looking import Verdict
    from osc.executor.lead import Lead
    from osc.state.slices import Poison, Skipped, Slice


@dataclass
class Filling:
    """A change whose triggers are live, at the beginning of its fill, under a lead."""

    session: Session
    lead: Lead
    step: FillStep
    verify_step: VerifyStep
    opened: AsyncExitStack

    async def lane(self, *, rows: int = 10, walk: str = "keyset", waves: int | str = 1, **settings: Any) -> Lane:
        """Return a lane under a new claim on the table's slice, whose batches have ``rows`` rows (or blocks)."""
        self.lead.executor.settings = replace(
            self.lead.settings,
            batch_rows_first=rows,
            batch_rows_max=rows,
            batch_target_ms=60_000,
            revisit_pause_s=0.02,
            walk=walk,
            waves=waves,
            **settings,
        )
        conn = await self.lead.worker("fill")
        self.opened.push_async_callback(close, conn)
        await prepare(self.lead, self.step, conn)
        (piece,) = await slicing.cut_all(self.lead, self.step, await Pace(self.lead).read())
        lane = await fill.claimed_lane(self.lead, self.step, conn, piece)
        assert lane is not None
        lane.size.rows = lane.size.rows_max = rows
        return lane

    async def walk(self, lane: Lane) -> None:
        """Take batches until the slice is finished; skipped windows are left as they are."""
        for _ in range(600):
            if (await lane.batch())[0]:
                return
        raise AssertionError("the slice is never finished")

    async def revisit(self, lane: Lane) -> int:
        """Visit every skipped window once; return how many rows were left."""
        return await revisit_all(lane)

    async def skipped(self, lane: Lane) -> list[Skipped]:
        return await slices.skipped(self.lead.control, lane.slice.slice)

    async def poison(self) -> list[Poison]:
        return await slices.poison(self.lead.control, self.lead.number)

    async def slice(self, lane: Lane) -> Slice:
        return await slices.get(self.lead.control, lane.slice.slice)

    async def verify(self) -> Verdict:
        """Take one pass of the verification."""
        return await inspect(self.lead, self.verify_step)


class Begin(Protocol):
    """Registers a change, makes its triggers live and leads it."""

    async def __call__(self, operations: str, rest: str = "") -> Filling: ...


@asynccontextmanager
async def filling(dsn: str, operations: str, rest: str = "") -> AsyncIterator[Filling]:
    """Lead a change at the beginning of its fill."""
    session = Session(Target.resolve(dsn), settings=replace(DEFAULTS, poll_s=0.02))
    change = await register(session, open_text(plan_of(operations, rest), "00001_change.yaml"))
    await advance_change(session, change, Phase.DUAL_WRITE, kind="advance")
    async with AsyncExitStack() as opened, executor(session, "test").lead(change) as lead:
        assert lead is not None
        steps = lead.program.phase(Phase.BACKFILL).steps
        step = next(one for one in steps if isinstance(one, FillStep))
        verify_step = next(one for one in steps if isinstance(one, VerifyStep))
        yield Filling(session, lead, step, verify_step, opened)


@pytest.fixture
async def begin(dsn: str) -> AsyncIterator[Begin]:
    """Give a function that begins the fill of a change of the test's database."""
    async with AsyncExitStack() as stack:

        async def make(operations: str, rest: str = "") -> Filling:
            return await stack.enter_async_context(filling(dsn, operations, rest))

        yield make


App = psycopg.AsyncConnection[Any]


class OpenApp(Protocol):
    """Opens a session of the application."""

    async def __call__(self, **kwargs: Any) -> App: ...


@pytest.fixture
async def app(dsn: str) -> AsyncIterator[OpenApp]:
    """Give a function that opens sessions of the application, closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(**kwargs: Any) -> App:
            conn = await psycopg.AsyncConnection.connect(
                dsn, options="-c statement_timeout=20s", **{"autocommit": True, **kwargs}
            )
            return await stack.enter_async_context(conn)

        yield open_one


@pytest.fixture
def upper() -> str:
    """Give the operation that most tests use: upper case of S in N."""
    return "- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n}"
