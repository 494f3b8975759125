"""Small reads of the catalogs that handlers prove their work by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from osc.executor.lead import Lead
from osc.names import QName
from osc.sql.named import load


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index as the catalog has it; ``usable`` is valid, ready and live."""

    oid: int
    name: str
    usable: bool
    definition: str


async def rows(lead: Lead, query: str, /, **params: Any) -> list[dict[str, Any]]:
    """Return the rows of the named block ``query`` of ``indexes.sql``."""
    return await lead.ask(_rows(lead, load("indexes")[query], params))


async def _rows(lead: Lead, sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    async with lead.control.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(sql, params)
        return await cursor.fetchall()


async def whereabouts(lead: Lead, oids: Mapping[QName, int]) -> list[dict[str, Any]]:
    """Return of each table whether it is where it was, which oid has its name, and what the table of its oid is called."""
    params = {
        "schemas": [name.schema for name in oids], "names": [name.name for name in oids], "oids": list(oids.values())
    }  # fmt: skip
    return await lead.ask(_rows(lead, load("relations")["whereabouts"], params))


async def indexes(lead: Lead, table: QName, *, name: str = "", prefix: str | None = None) -> list[BuiltIndex]:
    """Return the index ``name`` of ``table`` and those whose names begin with ``prefix``."""
    return [BuiltIndex(**row) for row in await rows(lead, "on_table", table=table.sql, name=name, prefix=prefix)]


async def index_by_oid(lead: Lead, oid: int) -> BuiltIndex | None:
    """Return the index with this oid, whatever its name is now."""
    found = await rows(lead, "by_oid", oid=oid)
    return BuiltIndex(**found[0]) if found else None
