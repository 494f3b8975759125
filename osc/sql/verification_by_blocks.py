"""The statements of verification for a table without a key: pages are blocks of its heap.

Each has the parameters and the answer of its twin in osc.sql.verification, with a number of blocks for that of rows. A row
that an UPDATE moves across the page is not seen; what moved it is a writer, so the sync trigger has looked at it.
"""

from __future__ import annotations

from collections.abc import Sequence

from osc.names import QName, literal, quote
from osc.sql import keyset
from osc.sql.keyset import KeyColumn
from osc.sql.pages import CTID, block
from osc.sql.resting import BY_SETTING, rested
from osc.sql.verification import Compared, Condition, not_in_step


def count(
    table: QName,
    _key: Sequence[KeyColumn],
    pairs: Sequence[Compared],
    condition: Condition = not_in_step,
    *,
    root: QName | None = None,
) -> str:
    """Return the count over the ``$2`` blocks behind ``$1``, up to ``$3``: rows, mismatches, the page's end (NULL: the table's)."""
    me = quote((root or table).name)
    return f"""WITH {_stop(table)}, page AS MATERIALIZED (
    SELECT {condition(pairs, me)} AS osc_out FROM ONLY {table.sql} AS {me} WHERE {_window(me)}
)
SELECT (SELECT count(*) FROM page) AS rows, (SELECT count(*) FROM page AS p WHERE p.osc_out) AS mismatches,
       CASE WHEN NOT stop.is_last THEN stop.cursor END AS last
FROM stop"""


def sample(
    table: QName,
    _key: Sequence[KeyColumn],
    pairs: Sequence[Compared],
    condition: Condition = not_in_step,
    *,
    root: QName | None = None,
) -> str:
    """Return the query for the places of rows out of step in the same page, ``$4`` of them at most."""
    me = quote((root or table).name)
    return f"""WITH {_stop(table)}
SELECT {keyset.as_cursor(CTID, me)} AS key FROM ONLY {table.sql} AS {me}
WHERE {_window(me)} AND {condition(pairs, me)} LIMIT $4"""


def next_key(table: QName, _key: Sequence[KeyColumn], *, root: QName | None = None) -> str:
    """Return the query for the end of the first block behind ``$1``, up to ``$2``; no row behind the last one."""
    at = f"coalesce({block(keyset.LO)}, 0) + 1"
    return f"SELECT ARRAY[concat('(', {at}, ',0)')] AS key WHERE {at} <= {_last(table, keyset.HI)}"


def _stop(table: QName) -> str:
    at, end = f"coalesce({block(keyset.LO)}, 0) + $2", _last(table, "$3::text[]")
    return f"""stop AS MATERIALIZED (
    SELECT ARRAY[concat('(', least({at}, {end}), ',0)')] AS cursor, {at} >= {end} AS is_last
)"""


def _window(me: str) -> str:
    return (
        f"{rested(BY_SETTING)}\n      AND {keyset.after(CTID, me)}\n      AND {keyset.up_to_scalar(CTID, me, 'stop')}"
    )


def _last(table: QName, bound: str) -> str:
    relation = f"{literal(table.sql)}::pg_catalog.regclass"
    blocks = f"pg_catalog.pg_relation_size({relation}) / pg_catalog.current_setting('block_size')::bigint"
    return f"coalesce({block(bound)}, {blocks})"
