"""Functions of the application that a plan's expressions call, and whether they still do what they did (F65)."""

from __future__ import annotations

from collections.abc import Collection

from osc.pg.session import Connection, run
from osc.sql.named import load

DEADLINE_S = 30.0


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
