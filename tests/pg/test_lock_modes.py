"""The table of conflicts is PostgreSQL's own: each pair is tried on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.pg.lock_modes import conflicting, from_server_name, server_name
from osc.sql.locks import Lock

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect

MODES = [mode for mode in Lock if mode is not Lock.NONE]


@pytest.mark.parametrize("held", MODES)
def test_conflicts_are_those_of_the_server(connect: Connect, held: Lock) -> None:
    holder, asker = connect(autocommit=False), connect()
    holder.execute("CREATE TABLE t ()")
    holder.commit()
    holder.execute(f"LOCK t IN {held} MODE")
    refusing = set()
    for mode in MODES:
        try:
            with asker.transaction():
                asker.execute(f"LOCK t IN {mode} MODE NOWAIT")
        except psycopg.errors.LockNotAvailable:
            refusing.add(mode)
    assert conflicting(held) == refusing


def test_names_in_pg_locks(connect: Connect) -> None:
    holder = connect(autocommit=False)
    holder.execute("CREATE TABLE t ()")
    holder.commit()
    for mode in MODES:
        holder.execute(f"LOCK t IN {mode} MODE")
    names = {row[0] for row in holder.execute("SELECT mode FROM pg_locks WHERE relation = 't'::regclass")}
    assert names == {server_name(mode) for mode in MODES}
    assert {from_server_name(name) for name in names} == set(MODES)
