"""The leaves of a partitioned table as a walk meets them: they come, go and change their names while it runs (F72).

A leaf is known by its oid and looked up by it whenever a piece of it is taken up. A statement proves that it still is
the leaf it was written for (osc.sql.leaf).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from osc.errors import Conflict
from osc.executor.lead import Lead
from osc.names import QName
from osc.pg.session import run
from osc.program import FillStep, VerifyStep
from osc.sql.named import load

S = TypeVar("S", FillStep, VerifyStep)


class LeavesChanged(Exception):
    """A leaf is no leaf any more, or has another name."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf by what it is called now."""

    oid: int
    name: QName


async def leaves_of(lead: Lead, table: QName, leaf: int | None = None) -> list[Leaf]:
    """Return the leaves of a partitioned table, or the one with the oid ``leaf`` if it still is one; takes no lock.

    Raises Conflict for a leaf that is a foreign table: its rows are out of reach.
    """
    params = {"table": table.sql, "leaf": leaf}
    cursor = await run(lead.control, load("leaves")["leaves"], params, deadline_s=lead.settings.query_deadline_s)
    found = await cursor.fetchall()
    foreign = [QName(schema, name) for _, schema, name, kind in found if kind == "f"]
    if foreign:
        raise Conflict(
            f"partition {foreign[0]} of {table} is a foreign table: its rows can neither be filled nor kept in step",
            hint=f"detach it, then osc advance {lead.change.id}, or roll back",
        )
    return [Leaf(int(oid), QName(schema, name)) for oid, schema, name, _ in found]


async def on(lead: Lead, step: S, leaf: int | None) -> S | None:
    """Return ``step`` as it is done on the leaf with this oid, ``None`` if it is no leaf of the table any more.

    Without a leaf it is the step as it is.
    """
    if leaf is None:
        return step
    found = await leaves_of(lead, step.table, leaf)
    return step.on(found[0].name) if found else None


async def is_leaf(lead: Lead, step: FillStep | VerifyStep, leaf: int | None) -> bool:
    """Return whether ``leaf`` is a leaf still and called as ``step``, done on it, calls it; so is a table without any."""
    return step.root is None or step.table in [one.name for one in await leaves_of(lead, step.root, leaf)]
