"""Compiling reads the catalog, which may for a moment stand behind somebody's DDL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from osc.pg.target import Target
from osc.plan import open_text
from osc.verbs.compiling import compile_source
from osc.verbs.session import Session

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect

PLAN = """\
id: 00001_total
osc: 1
operations:
  - change_column: {table: items, column: amount, to: total, type: bigint}
"""


@pytest.mark.anyio
async def test_a_table_locked_longer_than_one_try_is_read_when_it_is_free(dsn: str, connect: Connect) -> None:
    connect().execute("CREATE TABLE items (id int PRIMARY KEY, amount int CHECK (amount >= 0))")
    holder, watcher = connect(autocommit=False), connect()
    holder.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")

    async def free_it_after_the_first_miss() -> None:
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while (first := watcher.execute(waits).fetchone()) is None:  # noqa: ASYNC110 - another session tells nobody when it waits
            await anyio.sleep(0.02)
        while watcher.execute(waits).fetchone() == first:  # noqa: ASYNC110
            await anyio.sleep(0.02)
        holder.rollback()

    async with Session(Target.resolve(dsn)).connection("test:compile") as conn, anyio.create_task_group() as group:
        group.start_soon(free_it_after_the_first_miss)
        compiled = await compile_source(conn, open_text(PLAN, "-"))
    assert compiled.program.tables[0].name == "items"
