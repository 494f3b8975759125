"""A whole transaction with a strong lock as the text of one statement, so that no lock outlives a round trip.

BEGIN … COMMIT from a client keeps its locks while the client is stopped, swapped out or cut off. A DO block is one
message: it ends by itself, its ``statement_timeout`` bounds the sum of its waits, and in autocommit it leaves no
aborted transaction behind (rationale.md 12).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from osc.names import literal
from osc.sql.locks import Assertion, Lock, TableLock

if TYPE_CHECKING:
    from collections.abc import Sequence


def transaction_message(
    *,
    locks: Sequence[TableLock],
    sql: Sequence[str],
    fence: str,
    lock_timeout_ms: int,
    assertions: Sequence[Assertion] = (),
    yield_first_ms: int | None = None,
) -> str:
    """Return the DO statement that locks, asserts, runs ``sql`` and proves its epoch, in this order.

    ``fence`` is a fragment of PL/pgSQL that updates the step's row and raises OSC01 or OSC02 if it may not; it comes
    last, because its row lock keeps others from the journal (rationale.md 9). A failing assertion raises OSC03.
    With ``yield_first_ms`` each table is first queued for in SHARE UPDATE EXCLUSIVE, which makes autovacuum give way
    and keeps no read or write waiting (rationale.md 19).
    """
    parts = [
        *_yield_first(locks, yield_first_ms),
        *_lock_timeout(lock_timeout_ms),
        *(lock_table(lock) for lock in locks if lock.mode is not Lock.NONE),
        *(_assertion(assertion) for assertion in assertions),
        *(f"EXECUTE {dollar_quote(statement, tag='sql')};" for statement in sql),
        fence.rstrip().rstrip(";") + ";" if fence.strip() else "",
    ]
    body = "\n".join(filter(None, parts))  # never indented: that would change literals of several lines
    # A column may be called "found", which PL/pgSQL has as a variable.
    return "DO " + dollar_quote(f"\n#variable_conflict use_column\nBEGIN\n{body}\nEND\n")


def lock_table(lock: TableLock) -> str:
    """Return the statement that takes ``lock``, of this table and not of its children, or of every partition as well."""
    return f"LOCK TABLE {'' if lock.leaves else 'ONLY '}{lock.table.sql} IN {lock.mode} MODE;"


def dollar_quote(text: str, *, tag: str = "osc") -> str:
    """Return ``text`` as a dollar-quoted literal; the tag begins with ``tag`` and begins nothing in ``text``."""
    if "\0" in text:
        raise ValueError("SQL text must not hold NUL")
    free, number = tag, 0
    while f"${free}" in text:
        number += 1
        free = f"{tag}{number}"
    return f"${free}${text}${free}$"


def _yield_first(locks: Sequence[TableLock], yield_first_ms: int | None) -> list[str]:
    if yield_first_ms is None:
        return []
    tables = dict.fromkeys((lock.table, lock.leaves) for lock in locks if lock.mode is not Lock.NONE)
    mode = Lock.SHARE_UPDATE_EXCLUSIVE
    queue = [lock_table(TableLock(table=table, mode=mode, leaves=leaves)) for table, leaves in tables]
    return [*_lock_timeout(yield_first_ms), *queue]


def _lock_timeout(milliseconds: int) -> list[str]:
    return [f"PERFORM pg_catalog.set_config('lock_timeout', '{milliseconds:d}ms', true);"]


def _assertion(assertion: Assertion) -> str:
    """Return the test of one condition; it stands on lines of its own, so that a comment in it ends."""
    using = [f"ERRCODE = 'OSC03', MESSAGE = {literal(assertion.message).strip()}"]
    if assertion.hint:
        using.append(f"HINT = {literal(assertion.hint).strip()}")
    return f"IF (\n{assertion.condition}\n) IS NOT TRUE THEN\n    RAISE EXCEPTION USING {', '.join(using)};\nEND IF;"
