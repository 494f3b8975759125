"""Writers OLD and NEW: threads that carry out drawn transactions, and log each as ok, failed or unknown."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from itertools import count
from typing import Any

import psycopg
from psycopg import errors

from tests.concurrent.ledger import Ledger, Seen, Write
from tests.concurrent.schedule import Deed

DECLARED = (errors.SerializationFailure, errors.UniqueViolation)
HAND_OVER_S = 0.03
"""How long a writer waits at most for the others' statements."""


def key(kind: str, row: int) -> str:
    """Return the key of row number ``row`` as the server's text."""
    return {
        "bigint": str(row), "text": f"k{row}", "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(row))),
        "numeric": f"{row}.{abs(row)}",
    }[kind]  # fmt: skip


class Turns:
    """Unique numbers, and the count of statements made so far by all writers."""

    def __init__(self) -> None:
        self._numbers, self.made, self.pids = count(1000), 0, set[int]()
        self._lock = threading.Lock()

    def number(self) -> int:
        with self._lock:
            return next(self._numbers)

    def took(self) -> None:
        with self._lock:
            self.made += 1

    def let_pass(self, statements: int) -> None:
        goal, end = self.made + statements, time.monotonic() + HAND_OVER_S
        while self.made < goal and time.monotonic() < end:
            time.sleep(0.001)


class Writer(threading.Thread):
    """One version of the application: it writes ``column``, and does its deeds again and again until it is told to end."""

    def __init__(self, dsn: str, column: str, deeds: tuple[Deed, ...], kind: str, ledger: Ledger, turns: Turns,
                 filled: Callable[[], bool], alone: bool = False) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self._dsn, self._column, self._deeds, self._kind = dsn, column, deeds, kind
        self._ledger, self._turns, self._filled, self._finished = ledger, turns, filled, threading.Event()
        self._new, self._alone = column == "quantity", alone  # alone: the old column may be gone
        self.rounds = 0

    def end(self) -> None:
        self._finished.set()
        self.join(30)
        assert not self.is_alive(), "the application is blocked"

    def run(self) -> None:
        try:
            with psycopg.connect(self._dsn, application_name=f"app {self._column}") as conn:
                self._turns.pids.add(conn.info.backend_pid)
                while not self._finished.is_set():
                    for deed in self._deeds:
                        if self._finished.is_set():
                            break
                        self._transact(conn, deed)
                    self.rounds += 1
        except Exception as error:  # whatever it is, the example fails with it
            self._ledger.objects(f"the application of {self._column} met {type(error).__name__}: {error}")

    def _transact(self, conn: psycopg.Connection[Any], deed: Deed) -> None:
        writes: list[Write] = []
        try:
            conn.execute(f"SET TRANSACTION ISOLATION LEVEL {deed.isolation}")
            getattr(self, f"do_{deed.kind}")(conn, deed, writes)
            self._turns.took()
            self._turns.let_pass(deed.hands_over)
            if not deed.keeps:
                conn.rollback()
                return self._ledger.failed("rolled back")
            xid = conn.execute("SELECT pg_current_xact_id_if_assigned()::text::bigint").fetchone()
        except (*DECLARED, errors.DeadlockDetected) as error:
            conn.rollback()
            return self._refused(error, deed)
        try:
            conn.commit()
        except DECLARED as error:
            conn.rollback()
            return self._refused(error, deed)
        except psycopg.OperationalError:
            return self._ledger.in_doubt(xid[0] if xid else 0, writes)
        return self._ledger.ok(writes)

    def _refused(self, error: psycopg.Error, deed: Deed) -> None:
        """Log a declared failure; object to any other (I13): osc in the cycle of a deadlock, 40001 in READ COMMITTED."""
        if isinstance(error, errors.DeadlockDetected):
            pids = {int(one) for one in re.findall(r"rocess (\d+)", error.diag.message_detail or "")}
            if not pids <= self._turns.pids:
                self._ledger.objects(f"the application lost a deadlock with osc: {error.diag.message_detail}")
        elif isinstance(error, errors.SerializationFailure) and deed.isolation == "READ COMMITTED":
            self._ledger.objects(f"{error} in READ COMMITTED")
        self._ledger.failed(str(error.sqlstate))

    # ------------------------------------------------------------------------------------- the deeds

    def _wrote(self, n: int) -> dict[str, int]:
        return {"n": n} if self._new else {"s": n}

    def _update(
        self, conn: Any, row: int, sets: str, values: tuple[Any, ...], writes: list[Write], **wrote: int
    ) -> None:
        found = conn.execute(
            f"UPDATE items SET {sets}, ver = ver + 1 WHERE id = %s::{self._kind} RETURNING born, ver",
            (*values, key(self._kind, row)),
        ).fetchone()
        if found:
            writes.append(Write(*found, **wrote))

    def do_value(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        n = self._turns.number()
        self._update(conn, deed.row, f"{self._column} = %s", (n,), writes, **self._wrote(n))

    def do_both_columns(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        if self._alone:
            return self.do_value(conn, deed, writes)
        n = self._turns.number() * 10
        return self._update(conn, deed.row, "qty = %s, quantity = %s", (n, n), writes, s=n, n=n)

    def do_both_rows(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        for row in (deed.row, deed.other):
            n = self._turns.number()
            self._update(conn, row, f"{self._column} = %s", (n,), writes, **self._wrote(n))

    def do_note(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        self._update(conn, deed.row, "note = %s", (f"note {self._turns.number()}",), writes)

    def do_move(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        self._update(conn, deed.row, f"id = %s::{self._kind}", (key(self._kind, deed.other),), writes)

    def do_savepoint(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        with conn.transaction(force_rollback=True):
            self.do_value(conn, deed, [])
        self.do_value(conn, deed, writes)

    def do_full_row(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        """Write back every column that was read, as an ORM does; before the fill NEW may not rely on what it reads."""
        if self._new and not self._filled():
            return self.do_value(conn, deed, writes)
        columns = (self._column,) if self._alone or not self._new else ("qty", "quantity")
        read = conn.execute(f"SELECT {', '.join(columns)}, note FROM items WHERE id = %s::{self._kind}",
                            (key(self._kind, deed.row),)).fetchone()  # fmt: skip
        if read is None:
            return None
        wrote = self._wrote(read[0]) if len(columns) == 1 else {"s": read[0], "n": read[1]}
        return self._update(conn, deed.row, ", ".join(f"{c} = %s" for c in (*columns, "note")), read, writes, **wrote)

    def do_insert(self, conn: Any, deed: Deed, writes: list[Write], conflict: str = "") -> None:
        n = self._turns.number()
        born, ver = conn.execute(
            f"INSERT INTO items (id, {self._column}, note, born, ver) VALUES (%s::{self._kind}, %s, 'new', %s, 0)"
            f" {conflict} RETURNING born, ver",
            (key(self._kind, deed.row), n, n),
        ).fetchone()
        writes.append(Write(born, ver, inserts=born == n, **self._wrote(n)))

    def do_upsert(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        column = self._column
        self.do_insert(conn, deed, writes, f"ON CONFLICT (id) DO UPDATE SET {column} = EXCLUDED.{column}, ver = items.ver + 1")  # fmt: skip

    def do_copy(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        n = self._turns.number()
        with conn.cursor().copy(f"COPY items (id, {self._column}, note, born, ver) FROM STDIN") as copy:
            copy.write_row((key(self._kind, deed.row), n, "copied", n, 0))
        writes.append(Write(n, 0, inserts=True, **self._wrote(n)))

    def do_merge(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        n, place = self._turns.number(), key(self._kind, deed.row)
        done = conn.execute(
            f"MERGE INTO items USING (SELECT %s::{self._kind} AS k) AS v ON id = v.k"
            f" WHEN MATCHED THEN UPDATE SET {self._column} = %s, ver = ver + 1",
            (place, n),
        )
        if done.rowcount:
            found = conn.execute(f"SELECT born, ver FROM items WHERE id = %s::{self._kind}", (place,)).fetchone()
            writes.append(Write(*found, **self._wrote(n)))

    def do_delete(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        found = conn.execute(f"DELETE FROM items WHERE id = %s::{self._kind} RETURNING born, ver",
                             (key(self._kind, deed.row),)).fetchone()  # fmt: skip
        if found:
            writes.append(Write(found[0], found[1] + 1, deletes=True))

    def do_for_update(self, conn: Any, deed: Deed, writes: list[Write], strength: str = "FOR UPDATE") -> None:
        conn.execute(f"SELECT FROM items WHERE id = %s::{self._kind} {strength}", (key(self._kind, deed.row),))

    def do_for_share(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        self.do_for_update(conn, deed, writes, "FOR SHARE")

    def do_read(self, conn: Any, deed: Deed, writes: list[Write]) -> None:
        """Read a few rows as one snapshot; what is right is known when all is over."""
        known = self._new and self._filled()
        n = "quantity" if known else "NULL::bigint"
        s = "NULL::int" if self._alone else "qty"
        rows = conn.execute(f"SELECT born, ver, {s}, {n} FROM items ORDER BY id LIMIT 10").fetchall()
        self._ledger.seen += [Seen(*row, n_known=known) for row in rows]
