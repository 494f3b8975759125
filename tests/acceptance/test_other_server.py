"""F26: the same address leads to another server, an old one or an older state; the run stops there and writes nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import Conflict
from osc.executor.reports import Report
from osc.pg.embedded import EmbeddedServer
from osc.pg.target import Target
from osc.program import Phase
from osc.state.refusals import CopiedDatabase, OlderState
from osc.verbs.adopt import adopt
from osc.verbs.advance import advance
from osc.verbs.session import Session
from tests.acceptance.bench import ID, Bench
from tests.fixtures.postgres import StartServer
from tests.pg.line import Line

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


def by_tcp(bench: Bench) -> str:
    return make_conninfo(bench.dsn, host="127.0.0.1")


def written(bench: Bench) -> list[tuple[Any, ...]]:
    """Return what any write of osc would change there."""
    return bench.fingerprint() + bench.look("SELECT e::text FROM osc.executor AS e ORDER BY 1") + bench.look(
        "SELECT l::text FROM osc.lease AS l ORDER BY 1"
    )  # fmt: skip


async def stopped_where_it_was_led(bench: Bench, to: Bench, *, cut: bool = True) -> Conflict:
    """Run on ``bench`` until the fill begins; from then on its address leads to another server. Return how it ends."""
    bench.lease_runs_out()  # of a run before, which was cut off
    before = written(to)
    led: list[Bench] = []
    async with Line(by_tcp(bench)) as line:

        def listen(report: Report) -> None:
            if report.kind == "step" and report.message.startswith("Fill") and not led:
                led.append(to)
                line.lead_to(by_tcp(to))
                if cut:
                    line.cut()

        session = Session(Target.resolve(line.dsn), settings=bench.settings, listener=listen, who="test")
        with pytest.raises(Conflict) as stopped:
            await advance(session, ID, to=Phase.BACKFILL)
    assert stopped.value.exit_code == 5
    assert written(to) == before
    return stopped.value


def restored(server: EmbeddedServer, bench: Bench, dsn: str) -> Bench:
    """Restore a dump of the bench's database and return what is there then."""
    dump = subprocess.run([str(server.bin("pg_dump")), f"--dbname={bench.dsn}"], check=True, capture_output=True).stdout
    subprocess.run([str(server.bin("psql")), "-q", "-d", dsn], input=dump, check=True, capture_output=True)
    return replace(bench, dsn=dsn, commands=[])


async def test_a_run_whose_address_leads_elsewhere_stops_and_writes_nothing_there(
    own_server: StartServer, server: EmbeddedServer, dsn: str, tmp_path: Path, schema_dump: Callable[[str], str]
) -> None:
    original, database = own_server(), str(conninfo_to_dict(dsn)["dbname"])
    with psycopg.connect(original.dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {database} TEMPLATE template0".encode())
    old = Bench(original.dsn(database), tmp_path, schema_dump).fill_table(120)
    await old.apply(Phase.DUAL_WRITE)
    copy = restored(server, old, dsn)
    await adopt(copy.session(), reason="a copy for tests")  # so its state is sound and at home there
    with original.basebackup() as standby:
        new = replace(old, dsn=standby.dsn(database))
        new.until("SELECT pg_promote()")
        new.until("SELECT NOT pg_is_in_recovery()")
        # A failover that lost what the run had written, its lead for one.
        assert type(await stopped_where_it_was_led(old, new)) is OlderState
        # The old primary comes back: its state is at home there, and its epoch is the same by now.
        assert type(await stopped_where_it_was_led(new, old)) is CopiedDatabase
        # One session alone is led there, while the others stay.
        assert type(await stopped_where_it_was_led(new, old, cut=False)) is CopiedDatabase
        assert type(await stopped_where_it_was_led(new, copy)) is CopiedDatabase
        new.lease_runs_out()
        await new.advance(Phase.BACKFILL)
        assert (new.state, new.value("SELECT count(*) FROM items WHERE quantity = id % 7")) == ("backfilled", 120)
