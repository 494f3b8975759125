"""Functions of the application that a plan's expressions call, and whether they still do what they did (F65)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from osc.pg.session import Connection, run
from osc.sql.named import load

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Called:
    """Something to be said of a call, whichever function of the name is meant."""

    signature: str
    schema: str
    name: str
    changes: bool
    """It is not immutable."""
    runs_as: str | None
    """The owner whose rights it runs with, who does not own the tables."""


async def remarkable(
    conn: Connection, calls: Collection[tuple[str | None, str]], tables: Collection[int]
) -> list[Called]:
    """Return what is to be said of ``calls`` (schema, or ``None`` for the catalog's, and name) in an expression over ``tables``."""
    if not calls:
        return []
    ordered = sorted(calls, key=str)
    params = {"schemas": [one for one, _ in ordered], "names": [one for _, one in ordered], "tables": list(tables)}
    cursor = await run(conn, load("functions")["called"], params, deadline_s=DEADLINE_S)
    return [Called(*row) for row in await cursor.fetchall()]


async def functions_named(conn: Connection, words: Collection[str]) -> dict[str, str]:
    """Return a hash of what it does for each function outside pg_catalog whose name and schema are among ``words``."""
    cursor = await run(conn, load("functions")["named"], {"words": sorted(words)}, deadline_s=DEADLINE_S)
    return dict(await cursor.fetchall())


async def function_hashes(conn: Connection, signatures: Collection[str]) -> dict[str, str]:
    """Return the hash of each function that is still there, by signature."""
    if not signatures:
        return {}
    cursor = await run(conn, load("functions")["hashes"], {"signatures": sorted(signatures)}, deadline_s=DEADLINE_S)
    return dict(await cursor.fetchall())
