"""What an expression takes of whoever writes to its table, and which roles lack it.

The trigger's function, a default, a check and an index are computed as the role that writes, which is none of osc's.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from osc.pg.session import Connection, run
from osc.sql.named import load

ROLES_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Used:
    """What an expression was seen to use: signatures of functions, names of schemas, and for which tables."""

    tables: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    runs_as: tuple[tuple[str, str], ...] = ()
    """SECURITY DEFINER functions whose owner does not own the table, each with that owner."""


async def used(conn: Connection, tables: Collection[int], *, names: bool, deadline_s: float) -> Used:
    """Return what the temporary objects of this transaction use; they stand for one of ``tables``.

    With ``names`` the text is parsed again in each session that writes, so that names are looked up by who writes.
    """
    params = {"tables": list(tables), "names": names}
    rows = await (await run(conn, load("writers")["used"], params, deadline_s=deadline_s)).fetchall()
    functions = tuple(name for kind, name, _, _ in rows if kind == "function")
    schemas = tuple(name for kind, name, _, _ in rows if kind == "schema")
    runs_as = tuple((name, owner) for _, name, _, owner in rows if owner is not None)
    return Used(tuple(rows[0][2] or ()) if rows else (), functions, schemas, runs_as)


async def lacking(
    conn: Connection,
    tables: Collection[str],
    functions: Collection[str],
    schemas: Collection[str],
    *,
    deadline_s: float,
) -> list[tuple[str, str]]:
    """Return each grant that roles need which may write to one of ``tables``, with those roles."""
    if not tables or not (functions or schemas):
        return []
    params = {"tables": list(tables), "functions": list(functions), "schemas": list(schemas)}
    rows = await (await run(conn, load("writers")["lacking"], params, deadline_s=deadline_s)).fetchall()
    return [(missing, _shown(roles)) for missing, roles in rows]


def _shown(roles: list[str]) -> str:
    return ", ".join(roles[:ROLES_SHOWN_MAX]) + (", …" if len(roles) > ROLES_SHOWN_MAX else "")
