"""Named statements of the .sql files beside this one, and the four ways to run them.

Apart from the modules that use them, because each would otherwise repeat cursors and row factories.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg.rows import dict_row

from osc.sql.named import parse

if TYPE_CHECKING:
    from psycopg import AsyncConnection


@cache
def blocks(filename: str) -> dict[str, LiteralString]:
    """Return the blocks of a file by their names."""
    text = resources.files("osc.state").joinpath(filename).read_text("utf-8")
    return parse(text)


class Queries:
    """The statements of one file. Parameters are named as in the statement."""

    def __init__(self, filename: str) -> None:
        self._filename = filename

    def text(self, name: str) -> LiteralString:
        """Return the statement `name`."""
        return blocks(self._filename)[name]

    async def all(self, conn: AsyncConnection[Any], name: str, /, **params: Any) -> list[dict[str, Any]]:
        """Run the statement and return its rows."""
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(self.text(name), params)
            return await cursor.fetchall()

    async def one(self, conn: AsyncConnection[Any], name: str, /, **params: Any) -> dict[str, Any] | None:
        """Run the statement and return its first row, if it has one."""
        rows = await self.all(conn, name, **params)
        return rows[0] if rows else None

    async def value(self, conn: AsyncConnection[Any], name: str, /, **params: Any) -> Any:
        """Run the statement and return the first column of its first row, None if it has no row."""
        row = await self.one(conn, name, **params)
        return next(iter(row.values())) if row else None

    async def run(self, conn: AsyncConnection[Any], name: str, /, **params: Any) -> int:
        """Run the statement and return how many rows it wrote."""
        async with conn.cursor() as cursor:
            await cursor.execute(self.text(name), params)
            return cursor.rowcount
