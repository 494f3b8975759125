"""What the tests of the verbs share: a small pgbench_accounts, the example plan, and a change registered from it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import pytest

from osc.pg.target import Target
from osc.settings import DEFAULTS
from osc.state import changes, lease, registration
from osc.state.registration import Submission
from osc.state.transitions import Event
from osc.verbs.compiling import compile_file
from osc.verbs.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from osc.executor.reports import Report
    from osc.pg.session import Connection
    from osc.state.changes import Change
    from tests.fixtures.postgres import Connect

PLAN = Path(__file__).parents[2] / "plans" / "00001_pgbench_balance.yaml"
ID = PLAN.stem
ACCOUNTS = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"
THERE = (
    Event.BEGIN_EXPAND, Event.COMPLETE_EXPAND, Event.BEGIN_DUAL_WRITE, Event.COMPLETE_DUAL_WRITE,
    Event.BEGIN_BACKFILL, Event.COMPLETE_BACKFILL, Event.BEGIN_SWITCH, Event.COMPLETE_SWITCH,
)  # fmt: skip


class Leading(Protocol):
    """Leads the change for the length of a block, as an executor does, and gives its epoch."""

    def __call__(self, change: Change) -> AbstractAsyncContextManager[int]: ...


class Bring(Protocol):
    """Moves the change forward through the state alone, up to and including an event."""

    async def __call__(self, change: Change, last: Event) -> Change: ...


@pytest.fixture
def reports() -> list[Report]:
    """Give what the verbs told their listener."""
    return []


@pytest.fixture
def session(dsn: str, reports: list[Report]) -> Session:
    """Give a session of somebody called ann."""
    settings = replace(DEFAULTS, poll_s=0.05)
    return Session(Target.resolve(dsn, environ={}), settings=settings, listener=reports.append, who="ann@laptop")


@pytest.fixture
def accounts(connect: Connect) -> None:
    """Make pgbench_accounts with a few rows."""
    with connect() as conn:
        conn.execute(ACCOUNTS)
        conn.execute("INSERT INTO pgbench_accounts SELECT n, 1, n, '' FROM generate_series(1, 100) AS n")
        conn.execute("ANALYZE pgbench_accounts")


@pytest.fixture
async def conn(session: Session) -> AsyncIterator[Connection]:
    """Give a connection to the state."""
    async with session.state("test") as opened:
        yield opened


@pytest.fixture
async def change(session: Session, accounts: None, conn: Connection) -> Change:
    """Give the change that the example plan registers."""
    compiled = await compile_file(conn, PLAN)
    plan = compiled.source.plan
    submission = Submission(plan="osc: 1\n", program=compiled.program, title=plan.title, owner=plan.owner)
    return await registration.register(conn, submission, who="pipeline")


@pytest.fixture
def leading(conn: Connection) -> Leading:
    """Give a function that leads a change."""

    @asynccontextmanager
    async def lead(change: Change) -> AsyncIterator[int]:
        owner = uuid4()
        await lease.register_executor(conn, owner, host="runner-7", pid=4711, kind="apply")
        epoch = await lease.take(conn, change.number, owner, 60)
        assert epoch is not None
        yield epoch
        await lease.release(conn, change.number, owner, epoch)

    return lead


@pytest.fixture
def bring(conn: Connection, leading: Leading) -> Bring:
    """Give a function that moves the change through the state alone."""

    async def move(change: Change, last: Event) -> Change:
        async with leading(change) as epoch:
            for event in THERE[: THERE.index(last) + 1]:
                change = await changes.set_state(conn, change, event, epoch, who="test")
                if event is Event.COMPLETE_BACKFILL:
                    await changes.mark_filled(conn, change.number, epoch)
        return await changes.get(conn, change.number)

    return move


@pytest.fixture
def schemas(connect: Connect) -> Any:
    """Give a function that tells whether schema osc is there."""

    def there() -> bool:
        with connect() as plain:
            row = plain.execute("SELECT to_regnamespace('osc') IS NOT NULL").fetchone()
        return bool(row and row[0])

    return there
