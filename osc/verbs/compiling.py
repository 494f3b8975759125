"""From a plan file to a Program on the database at hand: shared by lint, explain and apply. Reads only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psycopg

from osc.catalog import Catalog
from osc.clock import SystemClock
from osc.compiler import compile_plan
from osc.compiler.compile import tables_of, types_of
from osc.errors import Finding, OscError, Refused, Severity
from osc.operations.tokens import calls, values_of_the_moment
from osc.pg.catalog import read_catalog
from osc.pg.functions import functions_named, remarkable
from osc.pg.outcome import Outcome, without_values
from osc.pg.privileges import missing_grant
from osc.pg.retry import retrying
from osc.pg.session import Connection, run
from osc.pg.types import read_types
from osc.pg.writers import lacking, used
from osc.plan import PlanFile, open_plan
from osc.program import Program
from osc.program.model import Proof, WriterNeed
from osc.redaction import quoted_values
from osc.settings import DEFAULTS, Settings

IMMUTABLE = ("C230", "C232")
"""Codes of proofs that take an immutable expression."""
PASSING = frozenset({Outcome.TRANSIENT, Outcome.LOCK_NOT_AVAILABLE})
"""What a read is repeated after."""


@dataclass(frozen=True)
class Compiled:
    """A plan file, the Catalog it was compiled for, its Program, and warnings with their places."""

    source: PlanFile
    catalog: Catalog
    program: Program
    warnings: tuple[Finding, ...]


async def compile_file(conn: Connection, path: Path) -> Compiled:
    """Read and compile the plan at ``path``. Raises InvalidPlan or Refused, each finding with its place."""
    return await compile_source(conn, open_plan(path))


async def compile_source(conn: Connection, source: PlanFile) -> Compiled:
    """Compile a plan that was read. Raises Refused with every finding placed in the file."""
    return await compile_on(conn, source, await _read(conn, source))


async def _read(conn: Connection, source: PlanFile) -> Catalog:
    """Read the Catalog; deparsing a definition takes ACCESS SHARE, which may for a moment stand behind somebody's DDL."""
    again = retrying(settings=DEFAULTS, clock=SystemClock(), during="read", outcomes=PASSING)
    return await again(read_catalog, conn, tables_of(source.plan))


async def compile_on(conn: Connection, source: PlanFile, catalog: Catalog) -> Compiled:
    """Compile a plan for ``catalog``, whose types are looked up. Raises Refused with every finding placed in the file."""
    catalog = catalog.model_copy(update={"types": await read_types(conn, types_of(source.plan, catalog))})
    try:
        program, warnings = compile_plan(source.plan, catalog)
    except Refused as refused:
        raise placed(refused, source) from None
    words = {word for proof in program.proofs for word in _words(proof.expression)}
    program = program.model_copy(update={"functions": await functions_named(conn, words)})
    return Compiled(source, catalog, program, (*source.warnings, *source.placed(warnings)))


def _words(text: str) -> set[str]:
    """Return every name that could stand in ``text``, which may be an expression with its object's name before it."""
    found = re.findall(r'"((?:[^"]|"")+)"|([^\W\d][\w$]*)', text)
    return {quoted.replace('""', '"') or plain.lower() for quoted, plain in found}


def placed(error: OscError, source: PlanFile) -> OscError:
    """Return ``error`` with every finding placed in the plan file."""
    return type(error)(error.message, hint=error.hint, findings=source.placed(error.findings), facts=error.facts)


async def probe(conn: Connection, compiled: Compiled, settings: Settings, *, proven: bool) -> list[Finding]:
    """Run the program's probes, which only read; return a finding for each that has rows.

    Unless every proof has passed (``proven``), those that evaluate an author's expression are left out: it could do anything.
    """
    found = []
    for one in compiled.program.probes:
        if one.evaluates and not proven:
            continue
        try:
            rows = await (await run(conn, one.sql, deadline_s=settings.query_deadline_s)).fetchall()
        except psycopg.errors.QueryCanceled:
            continue  # too big to be looked at beforehand; the step itself will say no if it must
        except psycopg.Error as error:
            found.append(
                Finding(
                    one.code, f"{one.message}: {without_values(error) or type(error).__name__}", one.hint, path=one.path
                )
            )
            continue
        if rows:
            keys = quoted_values([str(row[0]) for row in rows[: settings.sample_keys_max]])
            listed = keys.instead if settings.redact else keys.words
            found.append(Finding(one.code, f"{one.message}{listed}", one.hint, Severity(one.severity), path=one.path))
    return list(compiled.source.placed(found))


async def type_expressions(conn: Connection, compiled: Compiled, settings: Settings) -> list[Finding]:
    """Let the server parse and type every expression without reading a row or writing; return its objections.

    Of calls it says what their names tell. ``apply`` proves more (which overload is meant, operators and casts, the
    definitions that go along), which takes a temporary table.
    """
    found = []
    for one in compiled.program.proofs:
        error = await _failure(conn, (one.typing,), settings) if one.typing else None
        if error is not None:
            found.append(Finding(one.code, f"{one.expression}: {_said(error)}", one.hint, path=one.path))
        else:
            found += await _calls(conn, compiled, one)
    return list(compiled.source.placed(_once(found)))


async def _calls(conn: Connection, compiled: Compiled, proof: Proof) -> list[Finding]:
    """Return what ``prove`` would refuse that is plain from the names of what is called, whichever overload is meant."""
    if proof.code == "C231":  # what goes along stands on the table already
        return []
    tables = [table.oid for table in compiled.catalog.tables if table.oid is not None]
    found = await remarkable(conn, calls(proof.expression), tables)
    against = [_runs_as(proof, one.signature, one.runs_as) for one in found if one.runs_as is not None]
    if proof.code in IMMUTABLE:
        changing = [f"{one.name}()" for one in found if one.changes] + list(values_of_the_moment(proof.expression))
        if changing:
            said = f"{', '.join(changing)} is not immutable, it may be another value whenever it is asked"
            against.append(Finding(proof.code, f"{proof.expression}: {said}", proof.hint, path=proof.path))
    return against


async def prove(conn: Connection, compiled: Compiled, settings: Settings) -> tuple[Program, list[Finding]]:
    """Prove every expression on a temporary table in a transaction that is always rolled back; return what fails.

    Returned with it is the program with what the expressions were seen to need of whoever writes.

    A generated column accepts one expression, immutable, of the right type, over columns of the row: whatever else
    the text tries to be ends in a syntax error (reliability.md fact 24, B29-B36). What will run as whoever writes to the
    table is refused where one of them may not run it: the write would be.
    """
    found: list[Finding] = []
    needs: list[WriterNeed] = []
    for proof in compiled.program.proofs:
        use = partial(_use, conn, compiled, proof, settings, found, needs)
        error = await _failure(conn, proof.sql, settings, use)
        if error is not None:
            said = _said(error)
            hint = (missing_grant(said) if error.sqlstate == "42501" else None) or proof.hint
            found.append(Finding(proof.code, f"{proof.expression}: {said}", hint, path=proof.path))
    program = compiled.program.model_copy(update={"writers": tuple(needs)})
    return program, list(compiled.source.placed(_once(found)))


async def _failure(
    conn: Connection, statements: Sequence[str], settings: Settings, then: Callable[[], Awaitable[None]] | None = None
) -> psycopg.Error | None:
    """Return the error of the first statement that fails; if none does, do ``then`` before all is rolled back."""
    try:
        async with conn.transaction(force_rollback=True):
            for statement in statements:
                await run(conn, statement, deadline_s=settings.query_deadline_s)
            if then is not None:
                await then()
    except psycopg.Error as error:
        return error
    return None


async def _use(
    conn: Connection,
    compiled: Compiled,
    proof: Proof,
    settings: Settings,
    found: list[Finding],
    needs: list[WriterNeed],
) -> None:
    """Add what is against the things that ``proof`` uses, where it stands proven, and what writers need of them."""
    tables = [table.oid for table in compiled.catalog.tables if table.oid is not None]
    names = proof.path[-1:] in (("up",), ("down",), ("type",))  # which the trigger's text holds
    use = await used(conn, tables, names=names, deadline_s=settings.query_deadline_s)
    if proof.code != "C231":  # what goes along stands on the table already
        found += [_runs_as(proof, function, owner) for function, owner in use.runs_as]
    if proof.path[-1:] == ("fill",):
        return  # only osc's own batches compute it
    if use.functions or use.schemas:
        needs.append(
            WriterNeed(expression=proof.expression, tables=use.tables, functions=use.functions, schemas=use.schemas)
        )
    missing = await lacking(conn, use.tables, use.functions, use.schemas, deadline_s=settings.query_deadline_s)
    for grant, who in missing:
        found.append(
            Finding(
                "C261",
                f"{proof.expression}: is computed as whoever writes to the table, and without {grant} the writes of {who} would fail",
                f"GRANT {grant} TO {who}",
                path=proof.path,
            )
        )


def _runs_as(proof: Proof, function: str, owner: str) -> Finding:
    """Whose function it is decides what every row gets, and does so with rights that neither table nor writer has (B35)."""
    return Finding(
        "C262",
        f"{proof.expression}: {function} is SECURITY DEFINER and runs with the rights of {owner}, who does not own the table",
        "call a function that is SECURITY INVOKER, or one that the owner of the table owns",
        path=proof.path,
    )


def _said(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error)
    hint = error.diag.message_hint
    return re.sub(r"\bosc_proven\b", "value", said) + (f" ({hint})" if hint else "")


def _once(findings: Sequence[Finding]) -> list[Finding]:
    return list({(one.message, one.path): replace(one) for one in findings}.values())
