"""What stories about whole runs share: a bench on a fresh database, and the end that an undisturbed run comes to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from osc.pg.embedded import EmbeddedServer
from tests.acceptance.bench import PLAN, Bench
from tests.acceptance.processes import quick
from tests.model.conformance import explain_history

Ends = dict[tuple[int, str, str], Any]


@pytest.fixture
def bench(
    dsn: str, tmp_path: Path, schema_dump: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Bench]:
    """Give a bench with a filled table; afterwards the histories of its runs must be explained by the table of transitions."""
    bench = Bench(dsn, tmp_path, schema_dump, settings=quick(request.node.nodeid))
    bench.fill_table()
    yield bench
    bench.close()
    if "damaged" not in request.node.nodeid:  # there the history is made untrue
        explain_history(dsn)


@pytest.fixture(scope="session")
def known_ends() -> Ends:
    """Keep what undisturbed runs came to."""
    return {}


@pytest.fixture
def undisturbed(
    server: EmbeddedServer, tmp_path: Path, schema_dump: Callable[[str], str], known_ends: Ends
) -> Callable[..., Any]:
    """Give a function that tells the end of the same plan where nothing went wrong, on a database of its own."""

    def end(to: str = "contract", plan: str = PLAN) -> Any:
        key = (server.version, to, plan)
        if key not in known_ends:
            known_ends[key] = _run(server, tmp_path, schema_dump, to, plan)
        return known_ends[key]

    return end


def _run(server: EmbeddedServer, place: Path, dump: Callable[[str], str], to: str, plan: str) -> Any:
    name = f"undisturbed_{secrets.token_hex(6)}"
    folder = place / name
    folder.mkdir()
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        bench = Bench(server.dsn(name), folder, dump, plan).fill_table()
        ended = bench.run("apply", to=to)
        assert ended.exit_code == 0, ended
        end = bench.end()
        explain_history(server.dsn(name))
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
    return end
