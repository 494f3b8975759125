"""What the server makes of types as an author writes them. Apart from the Catalog, whose one snapshot a type that does
not exist would abort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from osc.catalog.model import TypeFact
from osc.sql.named import load

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_types"]

_SQL = load("types")
Connection = psycopg.AsyncConnection[Any]


async def read_types(conn: Connection, texts: Iterable[str]) -> dict[str, TypeFact]:
    """Return, for each text, the type as format_type() writes it, or why there is none. Reads only.

    Each ``text`` must have the form of a type, as osc.operations.fields.TypeName checks it.
    """
    return {text: await _read_type(conn, text) for text in dict.fromkeys(texts)}


async def _read_type(conn: Connection, text: str) -> TypeFact:
    try:
        async with conn.transaction():
            return await _resolve(conn, text)
    except psycopg.Error as error:
        if conn.closed:
            raise
        return TypeFact(error=error.diag.message_primary or str(error))


async def _resolve(conn: Connection, text: str) -> TypeFact:
    # The cast is described and never evaluated: a domain that refuses NULL is a type all the same.
    described = await conn.execute(f"SELECT (SELECT NULL::{text} WHERE false)".encode(), prepare=False)
    assert described.pgresult is not None
    modifier = described.pgresult.fmod(0)
    found = await (
        await conn.execute(_SQL["described"].replace("{type}", text).encode(), {"modifier": modifier})
    ).fetchone()
    assert found is not None
    name, kind, constrained = found
    return TypeFact(
        name=name, kind=kind, constrained=constrained, rejects_null=constrained and await _rejects_null(conn, text)
    )


async def _rejects_null(conn: Connection, text: str) -> bool:
    try:
        async with conn.transaction():
            await conn.execute(f"SELECT NULL::{text}".encode(), prepare=False)
    except psycopg.errors.IntegrityError:
        return True
    return False
