"""F10, F27, F99: a copy does not go on by itself, a person may adopt it, and state of an earlier osc is carried forward."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from osc.errors import UsageError
from osc.pg.embedded import EmbeddedServer
from osc.program import Phase
from osc.state.refusals import CopiedDatabase
from osc.verbs.adopt import adopt
from tests.acceptance.bench import Bench
from tests.fixtures.postgres import StartServer

pytestmark = pytest.mark.anyio

EARLIER = Path(__file__).with_name("states") / "0001_mid_fill.sql.gz"
"""A dump of a database in the middle of a fill, its state as migration 0001 made it: 120 rows, 100 of them behind the cursor."""


def restore(server: EmbeddedServer, dsn: str, dump: bytes) -> None:
    command = [str(server.bin("psql")), "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={dsn}"]
    subprocess.run(command, input=dump, check=True, capture_output=True, timeout=60)


def dumped(server: EmbeddedServer, dsn: str) -> bytes:
    command = [str(server.bin("pg_dump")), f"--dbname={dsn}"]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


async def refused_until_adopted(bench: Bench) -> None:
    before = bench.rows_and_catalog()
    for act in (bench.advance, bench.rollback):
        with pytest.raises(CopiedDatabase) as refused:
            await act()
        assert "osc adopt" in refused.value.hint
    with pytest.raises(UsageError):
        await adopt(bench.session(), reason=" ")
    assert bench.rows_and_catalog() == before
    assert (await adopt(bench.session(), reason="the original is gone")).adopted
    assert not (await adopt(bench.session(), reason="once more")).adopted


@pytest.mark.parametrize("back", [False, True])
async def test_a_restored_dump_in_mid_change_goes_on_only_once_it_was_adopted(
    bench: Bench, server: EmbeddedServer, undisturbed: Callable[..., Any], back: bool
) -> None:
    schema, data = bench.schema, bench.data
    assert bench.killed("apply", "batch.before=kill9@3", to="contract")
    name = f"{psycopg.conninfo.conninfo_to_dict(bench.dsn)['dbname']}_copy"
    dump = dumped(server, bench.dsn)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            copy = replace(bench, dsn=server.dsn(name), commands=[])
            restore(server, copy.dsn, dump)
            copy.do(
                "SET search_path = ''; UPDATE public.items SET qty = qty WHERE id = 400"
            )  # the triggers find all they need
            await refused_until_adopted(copy)
            await (copy.rollback() if back else copy.advance(Phase.CONTRACT))
            assert (copy.schema, copy.data) == ((schema, data) if back else undisturbed()[:2])
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_state_of_the_first_schema_is_carried_forward_in_mid_change(
    tmp_path: Path, dsn: str, server: EmbeddedServer, schema_dump: Callable[[str], str]
) -> None:
    restore(server, dsn, gzip.decompress(EARLIER.read_bytes()))
    earlier = Bench(dsn, tmp_path, schema_dump)
    await refused_until_adopted(earlier)
    await earlier.advance(Phase.CONTRACT)
    assert earlier.state == "done"
    assert earlier.value("SELECT count(*) FROM items WHERE quantity IS DISTINCT FROM id % 7") == 0
    assert earlier.value("SELECT count(*) FROM items") == 120


async def test_a_physical_copy_on_another_port_is_refused_and_a_promoted_standby_goes_on(
    own_server: StartServer, tmp_path: Path, schema_dump: Callable[[str], str]
) -> None:
    original = own_server()
    bench = Bench(original.dsn(), tmp_path, schema_dump).fill_table(100)
    await bench.apply(Phase.DUAL_WRITE)
    standby = original.basebackup()
    try:
        promoted = replace(bench, dsn=standby.dsn())
        promoted.until("SELECT pg_promote()")
        promoted.until("SELECT NOT pg_is_in_recovery()")
        await promoted.advance(Phase.BACKFILL)
        assert promoted.state == "backfilled"
        assert promoted.value("SELECT count(*) FROM osc.event WHERE kind = 'promoted'") == 1
    finally:
        standby.close()
    bench.do("UPDATE osc.meta SET server_port = server_port + 1")  # as a copy that was started beside finds it
    await refused_until_adopted(bench)
