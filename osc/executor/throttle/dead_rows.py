"""What share of the table is dead rows (F88): where vacuum does not keep up, a fill makes the table grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from osc.executor.throttle.signal import Reading, query
from osc.names import QName
from osc.pg.session import Connection


@dataclass
class DeadRows:
    """Dead rows of the table and its partitions, by the server's statistics."""

    table: QName
    key: ClassVar[str] = "max_dead_share"
    name: ClassVar[str] = "max_dead_share"
    by_default: ClassVar[bool] = False

    async def read(self, conn: Connection, limit: float, now_s: float) -> list[Reading]:
        """Return one reading."""
        ((dead, live),) = await query(conn, "dead_rows", {"schema": self.table.schema, "table": self.table.name})
        share = dead / max(1, dead + live)
        said = f"{share * 100:.1f} % of the rows of {self.table} are dead > {limit * 100:g} %"
        return [Reading(share / limit, said, 5.0)]
