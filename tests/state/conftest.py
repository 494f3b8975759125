"""What the tests of the state share: a database with schema osc, sessions to it and a registered change."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from osc.catalog.model import Catalog, Server
from osc.names import QName
from osc.program import DdlStep, Phase, PhaseProgram, Program
from osc.state import registration, schema
from osc.state.registration import Submission

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from osc.state.changes import Change

Session = psycopg.AsyncConnection[Any]


class Open(Protocol):
    """Opens an async session in autocommit, set up as osc's sessions are; closed at the end of the test."""

    async def __call__(self, dsn: str | None = None) -> Session: ...


class Submit(Protocol):
    """Makes a Submission of a small program."""

    def __call__(self, id: str = "00001_users", **fields: Any) -> Submission: ...


@pytest.fixture
async def session(dsn: str) -> AsyncIterator[Open]:
    """Give a function that opens sessions."""
    fresh = dsn
    async with AsyncExitStack() as stack:

        async def open_one(dsn: str | None = None) -> Session:
            conn = await psycopg.AsyncConnection.connect(
                dsn or fresh, autocommit=True, options="-c search_path=pg_catalog -c lock_timeout=5s"
            )
            return await stack.enter_async_context(conn)

        yield open_one


@pytest.fixture
async def conn(session: Open) -> Session:
    """Give a session to a database that has schema osc."""
    opened = await session()
    await schema.ensure_schema(opened)
    return opened


@pytest.fixture
def empty_catalog() -> Catalog:
    """Give a Catalog without tables."""
    server = Server(
        version_num=180000, database="d", database_oid=1, system_identifier="1", role="r", superuser=False,
        in_recovery=False, deadlock_timeout_ms=1000,
    )  # fmt: skip
    return Catalog(server=server)


@pytest.fixture
def submit(empty_catalog: Catalog) -> Submit:
    """Give a function that makes Submissions of one step a phase."""

    def make(id: str = "00001_users", *, plan_hash: str = "h1", steps_a_phase: int = 1, **fields: Any) -> Submission:
        program = Program(
            plan_id=id,
            plan_hash=plan_hash,
            tables=(QName("public", "users"),),
            phases=tuple(
                PhaseProgram(
                    phase=phase,
                    expects=empty_catalog,
                    steps=tuple(
                        DdlStep(id=f"{phase}.{n:02}", phase=phase, title=f"step {n}", sql=("SELECT 1",))
                        for n in range(1, steps_a_phase + 1)
                    ),
                )
                for phase in Phase
            ),
        )
        return Submission(plan="osc: 1\n", program=program, **{"title": "Users", "owner": "team", **fields})

    return make


@pytest.fixture
async def change(conn: Session, submit: Submit) -> Change:
    """Give a registered change."""
    return await registration.register(conn, submit(), who="pipeline")
