"""How a table is cut into the windows of a fill: by a key, or by the blocks of its heap.

Positions are cursors of osc.sql.keyset in both cases. A position in the heap is the row identifier ``(block,0)``, which
no row has: what lies behind it and what lies from it on is the same, so windows of blocks are cut like windows of keys.
Blocks hold for one file of the table only; whoever rewrites the table (VACUUM FULL, CLUSTER) gives it another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from osc.names import QName, literal, quote
from osc.sql import keyset, leaf
from osc.sql.keyset import KeyColumn
from osc.sql.resting import rested

Key: TypeAlias = Sequence[KeyColumn]

CTID = (KeyColumn(name="ctid", type="pg_catalog.tid"),)
"""A row by its place in the heap. It is the same row only as long as the row is not changed, or locked."""

LEAF = KeyColumn(name="tableoid", type="pg_catalog.oid")
"""The leaf of a partitioned table that a row lies in."""


class Page(Protocol):
    """A way to cut a table."""

    @property
    def table(self) -> QName: ...

    @property
    def me(self) -> str:
        """What expressions call the table by: of a leaf, the partitioned table that it belongs to."""
        ...

    @property
    def key(self) -> Key:
        """What a row is named by to people; empty where the table has no key."""
        ...

    @property
    def place(self) -> Key:
        """What windows are cut by, and rows are told apart by within one statement."""
        ...

    @property
    def holds(self) -> str:
        """The condition over the slice ``s`` that its positions still mean what they meant."""
        ...

    @property
    def rests(self) -> str:
        """The parameter of a batch that says after how many microseconds of work it rests."""
        ...

    def edge(self, rests: str = "0") -> str:
        """Return the CTEs up to ``edge``: the window of ``$3`` units behind ``$1``, up to ``$2``, found without locking.

        ``edge`` is one row: cursor (its end), rows in it, is_last (it reaches ``$2``), and lsn.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByKey:
    """Windows of so many rows in the order of a unique key."""

    table: QName
    key: Key
    root: QName | None = None
    """The partitioned table of which ``table`` is a leaf."""

    @property
    def me(self) -> str:
        return quote((self.root or self.table).name)

    @property
    def place(self) -> Key:
        return self.key

    @property
    def holds(self) -> str:
        return _is_leaf(self.table, self.root) or "true"

    @property
    def rests(self) -> str:
        return "$7"

    def edge(self, rests: str = "0") -> str:
        return bounds(self.table.sql, self.key, self.me, only=True, rests=rests)


@dataclass(frozen=True, slots=True)
class ByBlock:
    """Windows of so many blocks of the heap. ``$7`` of a batch is how many of its rows waves have moved out of it already."""

    table: QName
    key: Key
    root: QName | None = None

    @property
    def me(self) -> str:
        return quote((self.root or self.table).name)

    @property
    def place(self) -> Key:
        return CTID

    @property
    def holds(self) -> str:
        same_file = f"s.filenode = {filenode(self.table)}"
        return " AND ".join(filter(None, (same_file, _is_leaf(self.table, self.root))))

    @property
    def rests(self) -> str:
        return "$8"

    def edge(self, rests: str = "0") -> str:
        me = self.me
        lo, hi = block(keyset.LO), block(keyset.HI)
        return f"""stop AS MATERIALIZED (
    SELECT ARRAY[concat('(', least(coalesce({lo}, 0) + $3, {hi}), ',0)')] AS cursor,
           coalesce({lo}, 0) + $3 >= {hi} AS is_last, pg_catalog.pg_current_wal_insert_lsn() AS lsn
), edge AS MATERIALIZED (
    SELECT stop.cursor, stop.is_last, stop.lsn,
           $7::bigint + (SELECT count(*) FROM ONLY {self.table.sql} AS {me}
                         WHERE {_resting(rests)}{keyset.after(CTID, me)} AND {keyset.up_to_scalar(CTID, me, "stop")}) AS rows
    FROM stop
)"""


@dataclass(frozen=True, slots=True)
class ByPlace(ByBlock):
    """Blocks that were looked up a moment ago, for what may miss them: whoever rewrites the table sends it elsewhere."""

    @property
    def holds(self) -> str:
        return _is_leaf(self.table, self.root) or "true"


def _resting(rests: str) -> str:
    return "" if rests == "0" else f"{rested(rests)}\n      AND "


def _is_leaf(table: QName, root: QName | None) -> str:
    return "" if root is None else leaf.is_leaf_of(table, root, "s.leaf")


def filenode(table: QName) -> str:
    """Return the expression for the file that holds the table now."""
    return f"pg_catalog.pg_relation_filenode({literal(table.sql)}::pg_catalog.regclass)"


def position(block: int) -> list[str]:
    """Return the position before the first row of ``block``."""
    return [f"({block},0)"]


def block_of(cursor: Sequence[str]) -> int:
    """Return the block of a position; raise ValueError for what is none."""
    (tid,) = cursor
    return int(tid.strip("()").split(",")[0])


def bounds(relation: str, key: Key, alias: str, *, only: bool, condition: str = "", rests: str = "0") -> str:
    """Return the page behind the cursor, found without locking, and its edge: the last key and how many rows.

    It rests, if at all, on every of the three ways through its rows.
    """
    resting = "" if rests == "0" else f"\n            WHERE {rested(rests)}"
    return f"""bounds AS MATERIALIZED (
    SELECT {keyset.columns(key, alias)} FROM {"ONLY " if only else ""}{relation} AS {alias}
    WHERE {condition}{_resting(rests)}{keyset.after(key, alias)} AND {keyset.up_to(key, alias)}
    ORDER BY {keyset.order(key, alias)} LIMIT $3
), edge AS MATERIALIZED (
    SELECT (SELECT {keyset.as_cursor(key, "b")} FROM bounds AS b{resting}
            ORDER BY {keyset.order(key, "b", descending=True)} LIMIT 1) AS cursor,
           n.rows, n.rows < $3 AS is_last, pg_catalog.pg_current_wal_insert_lsn() AS lsn
    FROM (SELECT count(*) AS rows FROM bounds{resting}) AS n
)"""


def next_edge(page: ByKey) -> str:
    """Return the query for the ``$3``-th key behind ``$1`` and not behind ``$2``, as a cursor, and the place of its row.

    There is no row if there are fewer. The keys on the way are read from the index alone, resting whenever it has worked
    for ``$4`` microseconds.
    """
    me, key = page.me, page.key
    return (
        f"SELECT {keyset.as_cursor(key, me)} AS cursor, {me}.ctid::text AS place FROM ONLY {page.table.sql} AS {me}\n"
        f"WHERE ({keyset.columns(key, me)}) = (\n"
        f"    SELECT {keyset.columns(key, 'r')} FROM ONLY {page.table.sql} AS r\n"
        f"    WHERE {_resting('$4')}{keyset.after(key, 'r')} AND {keyset.up_to(key, 'r')}\n"
        f"    ORDER BY {keyset.order(key, 'r')} OFFSET $3 - 1 LIMIT 1)"
    )


def last_edge(page: ByKey) -> str:
    """Return the query for the last key behind ``$1`` and not behind ``$2``: the place of its row, and how many there are.

    It rests whenever it has worked for ``$3`` microseconds.
    """
    me, key = page.me, page.key
    return (
        f"SELECT {me}.ctid::text AS place, (\n"
        f"    SELECT count(*) FROM ONLY {page.table.sql} AS r\n"
        f"    WHERE {_resting('$3')}{keyset.after(key, 'r')} AND {keyset.up_to(key, 'r')}\n"
        f") AS rows\nFROM ONLY {page.table.sql} AS {me}\n"
        f"WHERE {keyset.after(key, me)} AND {keyset.up_to(key, me)}\n"
        f"ORDER BY {keyset.order(key, me, descending=True)} LIMIT 1"
    )


def sample(page: ByKey) -> str:
    """Return the query for the keys that cut a sample of the table in ``$1`` equal parts, as cursors in their order.

    ``$2`` is the share of the blocks that are read, in percent; a key that was deleted meanwhile cuts as well.
    """
    me, order = page.me, keyset.order(page.key, "r")
    return (
        f"SELECT q.cursor FROM (\n"
        f"    SELECT {keyset.as_cursor(page.key, 'r')} AS cursor, row_number() OVER (ORDER BY {order}) AS n, count(*) OVER () AS rows\n"
        f"    FROM (SELECT {keyset.columns(page.key, me)} FROM ONLY {page.table.sql} AS {me} TABLESAMPLE SYSTEM ($2)) AS r\n"
        f") AS q\nWHERE q.n * $1 / q.rows > (q.n - 1) * $1 / q.rows AND q.n < q.rows\nORDER BY q.n"
    )


def leaf_of(table: QName, key: Key) -> str:
    """Return the query for the leaf of a partitioned table, by its oid, that has the row with the key ``$1``."""
    me = quote(table.name)
    at = keyset.from_(key, me), keyset.up_to(key, me, keyset.LO)
    return f"SELECT {me}.tableoid::bigint FROM {table.sql} AS {me} WHERE {at[0]} AND {at[1]}"


def block(bound: str) -> str:
    """Return the expression for the block of the position ``bound``."""
    return f"pg_catalog.ltrim(pg_catalog.split_part(({bound})[1], ',', 1), '(')::bigint"
