"""A Program as text, Markdown and script: what a reader decides by is there, whatever the wording."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.catalog.model import Catalog, Server
from osc.compiler import compile_plan
from osc.compiler.compile import tables_of
from osc.compiler.explain import as_markdown, as_script, as_text
from osc.compiler.explain.markdown import COMMENT_CHARS_MAX
from osc.compiler.explain.release import timeline
from osc.compiler.explain.statements import abridged, backward, numbered
from osc.errors import Finding, Place, Severity
from osc.names import QName
from osc.pg.catalog import read_catalog
from osc.plan import load_plan
from osc.program import DdlStep, FillStep, IndexStep, Phase, PhaseProgram, Program, SwitchStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from osc.pg.embedded import EmbeddedServer
    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.anyio

PLAN = Path(__file__).parents[2] / "plans" / "00001_pgbench_balance.yaml"
ACCOUNTS = "CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))"


@pytest.fixture
async def program(connect: Connect, dsn: str) -> Program:
    """Give the program of the example plan."""
    connect().execute(ACCOUNTS)
    plan = load_plan(PLAN)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        return compile_plan(plan, await read_catalog(conn, tables_of(plan)))[0]


def small(*steps: DdlStep, **fields: object) -> Program:
    server = Server(
        version_num=180000, database="d", database_oid=1, system_identifier="1", role="r", superuser=False,
        in_recovery=False, deadlock_timeout_ms=1000,
    )  # fmt: skip
    phases = tuple(
        PhaseProgram(phase=phase, expects=Catalog(server=server), steps=tuple(s for s in steps if s.phase is phase))
        for phase in Phase
    )
    return Program(plan_id="00009_small", plan_hash="h", phases=phases, tables=(QName("public", "t"),), **fields)  # type: ignore[arg-type]


def ddl(phase: Phase, sql: str, undo: tuple[str, ...] | None = (), title: str = "a step") -> DdlStep:
    return DdlStep(id=f"{phase}.01.x", phase=phase, title=title, sql=(sql,), undo=undo)


@pytest.mark.parametrize("render", [as_text, as_markdown, as_script])
async def test_every_rendering_tells_what_a_reader_decides_by(
    program: Program, render: Callable[[Program], str]
) -> None:
    text = render(program).replace("\\_", "_")
    for fact in (
        "00001_pgbench_balance",
        'ALTER TABLE "public"."pgbench_accounts" ADD COLUMN "balance" bigint',
        "ACCESS EXCLUSIVE on public.pgbench_accounts",
        "CREATE INDEX CONCURRENTLY",
        "from backfill, as soon as the fill is verified",
        "until contract",
        "5.4 Drop the triggers",
        "ack app-2 before switch",
    ):
        assert fact in text, fact


async def test_every_step_says_what_it_blocks_and_how_it_is_taken_back(program: Program) -> None:
    text = as_text(program)
    blocks = re.split(r"(?m)^  \d\.\d+ ", text)[1:]
    assert len(blocks) == len(program.steps())
    for block, (_, step) in zip(blocks, numbered(program), strict=True):
        assert block.count("blocks") == len(step.locks)
        assert ("undo" in block) == (backward(step) != ())


async def test_a_batch_explains_its_parameters_and_is_no_statement_of_the_script(program: Program) -> None:
    fill = next(step for step in program.steps() if isinstance(step, FillStep))
    script = as_script(program)
    assert "$4 slice, $5 epoch, $6 seq" in script
    assert "$4 slice, $5 epoch, $6 seq" in as_text(program)
    executable = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    assert "osc.slice" not in executable
    assert f"-- {fill.skipping.splitlines()[0]}" in script


async def test_the_text_that_is_shown_is_the_text_that_runs(program: Program) -> None:
    script, whole = as_script(program), as_text(program, whole=True)
    unindented = re.sub(r"(?m)^ {9}", "", whole)
    for step in program.steps():
        for sql in step.sql if isinstance(step, DdlStep | SwitchStep) else ():
            assert sql in script
            assert sql in unindented


def run_script(psql: Path, dsn: str, script: str) -> subprocess.CompletedProcess[str]:
    command = [str(psql), "--no-psqlrc", "-q", "-d", dsn]
    return subprocess.run(command, input=script, capture_output=True, text=True, timeout=60, check=False)


async def test_psql_runs_the_script_to_the_schema_that_the_change_makes(
    program: Program, server: EmbeddedServer, dsn: str, connect: Connect
) -> None:
    psql = server.bin("psql")
    if not psql.exists():
        pytest.skip("no psql beside this server")
    done = run_script(psql, dsn, as_script(program))
    assert (done.returncode, done.stderr) == (0, "")
    found = connect().execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'pgbench_accounts'::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    assert [row[0] for row in found] == ["aid", "bid", "filler", "balance"]


async def test_markdown_fits_into_a_comment_and_folds_the_sql(program: Program) -> None:
    text = as_markdown(program)
    assert len(text) < COMMENT_CHARS_MAX
    assert text.count("<details>") == text.count("</details>") == 5
    assert text.count("| **reads and writes** |") == 5


def test_markdown_of_a_huge_program_still_fits() -> None:
    big = small(*(ddl(Phase.EXPAND, "SELECT 1;\n" * 400, title=f"step {n}") for n in range(60)))
    assert len(as_markdown(big)) < COMMENT_CHARS_MAX
    assert "step 59" in as_markdown(big)
    enormous = small(*(ddl(Phase.EXPAND, "SELECT 1", title="x" * 900) for _ in range(200)))
    assert len(as_markdown(enormous)) < COMMENT_CHARS_MAX


def test_nothing_in_a_name_becomes_markdown() -> None:
    program = small(ddl(Phase.EXPAND, "SELECT '```'", title="add <script> @dba a|b `x`"), title="T [x](http://y)")
    prose, _, sql = as_markdown(program).partition("<details>")
    assert "<script>" not in prose
    assert "@dba" not in prose
    assert "a\\|b" in prose
    assert "[x](" not in prose
    assert "````sql" in sql  # a fence longer than any run of backticks within


def test_an_empty_phase_says_so() -> None:
    program = small(ddl(Phase.EXPAND, "SELECT 1"))
    assert as_text(program).count("nothing to do") == 4
    assert as_markdown(program).count("nothing to do") == 4
    assert as_script(program).count("nothing to do") == 4


def test_a_step_without_a_way_back_closes_it_in_every_rendering() -> None:
    program = small(ddl(Phase.SWITCH, "DROP TABLE old", undo=None))
    assert timeline(program)[2].words == (
        "open", "open", "open", "until 4.1", "closed",
    )  # fmt: skip
    assert "undo     none" in as_text(program)
    assert "**no way back**" in as_markdown(program)
    assert "-- undo: none" in as_script(program)


def test_down_none_closes_the_way_back_after_switch() -> None:
    program = small(ddl(Phase.EXPAND, "SELECT 1"), one_way_after=Phase.SWITCH)
    assert timeline(program)[2].words == ("open", "open", "open", "closed", "closed")
    assert "no way back (down: none)" in as_text(program)


def test_warnings_stand_with_their_place() -> None:
    warning = Finding("V143", "it is NOT NULL", "say so", Severity.WARNING, Place("p.yaml", 7, 5))
    program = small(ddl(Phase.EXPAND, "SELECT 1"))
    assert "OSC-V143 p.yaml:7:5 it is NOT NULL; say so" in as_text(program, [warning])
    assert "OSC-V143 p.yaml:7:5" in as_markdown(program, [warning])


def test_a_statement_that_ends_in_a_comment_stays_one_statement() -> None:
    assert "SELECT 1 -- done\n;" in as_script(small(ddl(Phase.EXPAND, "SELECT 1 -- done")))


def test_long_statements_say_how_much_is_left_out() -> None:
    assert abridged("a\nb\nc\nd", 2, 1) == ["a", "… 3 more lines"]
    assert abridged("a\nb", 2) == ["a", "b"]


async def test_an_index_is_taken_back_by_its_name(program: Program) -> None:
    index = next(step for step in program.steps() if isinstance(step, IndexStep))
    assert backward(index) == ('DROP INDEX CONCURRENTLY "public"."pgbench_accounts_balance_idx"',)
