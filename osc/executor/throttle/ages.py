"""How near the server is to running out of transaction or multixact ids (F89): each batch takes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query
from osc.pg.session import Connection

STALE_AFTER_S = 30.0


@dataclass
class XidAge:
    """Age of the oldest transaction id that is not frozen, in any database: they all share one counter.

    Without a limit of its own: half-way from where autovacuum begins to insist to where it drops everything else. Ages
    around the first are every day's business. Below it says nothing: a fill that goes slower takes no fewer ids.
    """

    key: ClassVar[str] = "max_xid_age"
    name: ClassVar[str] = "max_xid_age"
    by_default: ClassVar[bool] = True
    statement: ClassVar[str] = "xid_age"
    what: ClassVar[str] = "transaction"

    async def read(self, conn: Connection, limit: float | None, now_s: float) -> list[Reading]:
        """Return one reading."""
        ((database, age, insists, failsafe),) = await query(conn, self.statement)
        limit = limit if limit is not None else (insists + max(failsafe, insists * 1.05)) / 2
        said = (
            f"the oldest {self.what} id of database {database} is {age / 1e6:.0f} million old > {limit / 1e6:g} million"
        )
        return [Reading(age / limit if age >= limit else 0.0, said, STALE_AFTER_S)]


@dataclass
class MultixactAge(XidAge):
    """The same for multixact ids."""

    key: ClassVar[str] = "max_multixact_age"
    name: ClassVar[str] = "max_multixact_age"
    statement: ClassVar[str] = "multixact_age"
    what: ClassVar[str] = "multixact"
