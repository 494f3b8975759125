"""lint looks, it does not let an unproven expression run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.pg.target import Target
from osc.verbs.lint import lint
from osc.verbs.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.postgres import Connect

PLAN = """\
osc: 1
operations:
  - change_column:
      table: users
      column: name
      to: slug
      type: text
      up: name || pg_sleep(5)::text
      down: slug
      not_null: true
"""


@pytest.mark.anyio
async def test_an_unproven_expression_is_not_evaluated(dsn: str, connect: Connect, tmp_path: Path) -> None:
    conn = connect()
    conn.execute("CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)")
    conn.execute("INSERT INTO users SELECT n, 'x' FROM generate_series(1, 3) AS n")
    plan = tmp_path / "00001_sleepy.yaml"
    plan.write_text(PLAN)
    session = Session(Target.resolve(dsn))
    begun = session.clock.monotonic()
    await lint(session, [plan])
    assert session.clock.monotonic() - begun < 5  # three rows would sleep for fifteen
