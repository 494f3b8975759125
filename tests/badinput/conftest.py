"""What the tests of bad input share: one database that nothing may change, and a watch over what a refused call costs."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.badinput.ground import GROUND
from tests.cli.conftest import PLAN, Done, clean_environment, offline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Osc
    from tests.fixtures.postgres import Databases, Servers

__all__ = ["clean_environment", "offline"]

CPU_S_MAX = 2.0
MEMORY_KIB_MAX = 256 * 1024
WORDS_OF_A_TRACEBACK = ("Traceback", 'File "', "internal error", "OSC-E999")

CATALOGS = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_proc", "pg_trigger", "pg_type", "pg_namespace",
    "pg_policy", "pg_publication", "pg_enum", "pg_rewrite", "pg_statistic_ext", "pg_auth_members", "pg_description",
)  # fmt: skip
STATE = """
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('osc') AND relkind = 'r' ORDER BY relname
"""


def fingerprint(dsn: str) -> dict[str, str]:
    """Return a digest for each catalog, application table and table of osc, by which any committed write is seen.

    Row versions are compared, so that a change that was undone again is seen, too.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        found: dict[str, str] = {}
        for catalog in CATALOGS:
            found[catalog] = _digest(conn, catalog, "concat_ws(' ', ctid, xmin)")
        tables = (
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        for (table,) in conn.execute(tables).fetchall():
            found[table] = _digest(conn, table, "concat_ws(' ', ctid, xmin)")
        for (table,) in conn.execute(STATE).fetchall():
            found[f"osc.{table}"] = _digest(conn, f"osc.{table}", "r::text")
        return found


def next_xid(dsn: str) -> int:
    """Return the transaction id that the next writer on this server gets."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        row = conn.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def _digest(conn: psycopg.Connection[Any], table: str, value: str) -> str:
    query = (
        f"SELECT md5(coalesce(string_agg(v, E'\\n' ORDER BY v), '')) FROM (SELECT {value} AS v FROM {table} AS r) AS s"
    )
    row = conn.execute(query).fetchone()  # type: ignore[call-overload]  # names made here
    assert row is not None
    return str(row[0])


@dataclass
class Watched:
    """Runs commands and holds each to what bad input may cost, and to how an error looks."""

    osc: Osc

    def __call__(self, *arguments: str | Path) -> Done:
        """Run a command; fail if it shows a traceback, takes two seconds of the processor or 256 MB."""
        cpu, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done = self.osc(*arguments)
        assert time.process_time() - cpu < CPU_S_MAX, f"{arguments} took too long"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEMORY_KIB_MAX
        for word in WORDS_OF_A_TRACEBACK:
            assert word not in done.err + done.out, done
        return done


@pytest.fixture
def watched(offline: Osc) -> Watched:
    """Give a function that runs a command without a database, under watch."""
    return Watched(offline)


@pytest.fixture(scope="session")
def ground_dsn(servers: Servers, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a database with every kind of object that stands in a plan's way; no test may change it."""
    server = servers.get(18)
    name = databases.take(server)
    dsn = server.dsn(name)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(GROUND)  # type: ignore[call-overload]
        conn.execute("VACUUM ANALYZE")
    yield dsn
    databases.give_back(server, name)


@pytest.fixture
def ground(offline: Osc, ground_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Give a function that runs a command on that database, whose state schema is there."""
    monkeypatch.setenv("OSC_DATABASE_URL", ground_dsn)
    watched = Watched(offline)
    if not watched("status", PLAN.stem).out:
        assert watched("apply", PLAN, "--detach").code == 0
    return watched
