"""A column that add_column computes by ``up`` follows the row, until the new application writes it itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from osc.pg.target import Target
from osc.program import Phase
from osc.verbs.apply import apply
from osc.verbs.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.fixtures.postgres import Connect

PLAN = """\
osc: 1
operations:
  - add_column: {table: users, column: domain, type: text, up: "lower(split_part(email, '@', 2))"}
"""


@pytest.fixture
def users(connect: Connect) -> psycopg.Connection:
    """A table of users, in dual_write of a computed column once ``changed`` ran."""
    conn = connect()
    conn.execute("CREATE TABLE users (id int PRIMARY KEY, email text, seen int DEFAULT 0)")
    conn.execute("INSERT INTO users VALUES (1, 'a@One.org'), (2, NULL)")
    return conn


async def changed(dsn: str, tmp_path: Path, to: Phase) -> None:
    plan = tmp_path / "00001_domain.yaml"
    plan.write_text(PLAN)
    await apply(Session(Target.resolve(dsn)), plan, to=to)


def domain(conn: psycopg.Connection, id_: int) -> str | None:
    row = conn.execute("SELECT domain FROM users WHERE id = %s", (id_,)).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.anyio
@pytest.mark.parametrize("phase", [Phase.DUAL_WRITE, Phase.BACKFILL])
async def test_what_the_old_application_writes_reaches_it(
    users: psycopg.Connection, dsn: str, tmp_path: Path, phase: Phase
) -> None:
    await changed(dsn, tmp_path, phase)
    users.execute("INSERT INTO users (id, email) VALUES (3, 'c@Three.org')")
    users.execute("UPDATE users SET email = 'b@Two.org' WHERE id = 2")
    users.execute("UPDATE users SET email = 'a@Else.org' WHERE id = 1")
    users.execute("UPDATE users SET email = 'a@Elsewhere.org' WHERE id = 1")
    assert [domain(users, id_) for id_ in (1, 2, 3)] == ["elsewhere.org", "two.org", "three.org"]


@pytest.mark.anyio
async def test_what_the_new_application_wrote_is_not_clobbered(
    users: psycopg.Connection, dsn: str, tmp_path: Path
) -> None:
    await changed(dsn, tmp_path, Phase.BACKFILL)
    users.execute("UPDATE users SET domain = 'chosen' WHERE id = 1")
    users.execute("UPDATE users SET seen = seen + 1 WHERE id = 1")
    users.execute("UPDATE users SET email = 'a@later.org' WHERE id = 1")
    assert domain(users, 1) == "chosen"
