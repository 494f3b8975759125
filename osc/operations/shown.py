"""How a row is named to people: by the key that osc would page the table by."""

from __future__ import annotations

from osc.catalog import Table
from osc.names import quote


def shown_key(table: Table) -> str:
    """Return the SQL expression for the key of a row, comma-separated; where there is none, for its place in the heap."""
    key = table.paging_key()
    me = quote(table.name.name)
    columns = key.columns if key is not None else ("ctid",)
    return " || ', ' || ".join(f"{me}.{quote(name)}::text" for name in columns if name)
