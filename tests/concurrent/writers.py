"""The two versions of the application: threads that do what was drawn, and write down what became of each transaction.

ok, failed, unknown: a transaction whose COMMIT got no answer is unknown until its own mark is found in the database or not.
(Not its xid: after a crash of the server that may be another's.)
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.concurrent.world import BAD, Effect, World, in_step

DECLARED = {
    "40001": "a transaction of REPEATABLE READ or SERIALIZABLE meets a row written since its snapshot (I13)",
    "40P01": "two transactions of the application in each other's way; whether osc was in it, the server's log says",
    "57P01": "the story ended its session",
}
"""What a write may fail with."""


@dataclass(frozen=True)
class Deed:
    """One statement: what kind, on which row, and for a move where to. ``number`` makes its value."""

    kind: str
    key: int
    number: int
    to: int = 0


@dataclass(frozen=True)
class Transaction:
    """Deeds that belong together, begun no earlier than the executor's act number ``at``."""

    at: int
    isolation: str
    deeds: tuple[Deed, ...]
    fate: str
    """commit, rollback, or savepoint: the last deed is rolled back alone."""


@dataclass
class Outcome:
    """What became of a transaction; ``effects`` are those that it would have if it committed."""

    transaction: Transaction
    result: str
    effects: list[Effect]
    mark: str = ""
    error: str = ""


class Clock:
    """Which act of the executor's story is under way; writers wait for theirs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._now = -1
        self.synced = False
        """The trigger fires: what one version writes, the other reads."""
        self.filled = False
        """Every row is filled, and that is verified."""
        self.old_lives = True
        """Nobody knows the old column any more once contract begins."""
        self.poison = True
        """OLD writes values that ``up`` refuses; whoever is told of them stops that."""
        self.switching = False
        """N may be the truth: what ``up`` refuses is then refused."""
        self._ended = False

    def advance(self) -> None:
        with self._changed:
            self._now += 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, act: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._now >= act or self._ended, timeout=60)


@dataclass
class Writer(threading.Thread):
    """One session of one version of the application."""

    dsn: str
    world: World
    new: bool
    transactions: Iterable[Transaction]
    clock: Clock
    """Says when, and what may be expected by then."""
    outcomes: list[Outcome] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Promises that did not hold, as they were seen."""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.conn: psycopg.Connection[Any] | None = None
        self.values: dict[int, Any] = {}

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        try:
            for transaction in self.transactions:
                self.clock.wait_for(transaction.at)
                self._do(transaction)
        except Exception as error:  # a thread's exception would be lost
            self.broken.append(f"{'NEW' if self.new else 'OLD'}: {type(error).__name__}: {error}")
        finally:
            if self.conn is not None:
                self.conn.close()

    def _connect(self) -> psycopg.Connection[Any]:
        if self.conn is None or self.conn.closed:
            name = f"app-{'new' if self.new else 'old'}"
            self.conn = psycopg.connect(self.dsn, autocommit=True, application_name=name, prepare_threshold=None)
            if self.new and self.world.says_new:
                self.conn.execute("SET osc.writer = 'new'")
        return self.conn

    def _do(self, transaction: Transaction) -> None:
        outcome = Outcome(transaction, "failed", [])
        self.outcomes.append(outcome)
        committing = False
        try:
            conn = self._connect()
            conn.execute(f"BEGIN ISOLATION LEVEL {transaction.isolation}".encode())
            for deed in transaction.deeds[:-1] if transaction.fate == "savepoint" else transaction.deeds:
                self._deed(conn, deed, outcome)
            if transaction.fate == "savepoint":
                conn.execute("SAVEPOINT here")
                self._deed(conn, transaction.deeds[-1], Outcome(transaction, "failed", []))
                conn.execute("ROLLBACK TO here")
            if transaction.fate == "rollback":
                conn.execute("ROLLBACK")
                return
            if outcome.effects:
                outcome.mark = secrets.token_hex(8)
                conn.execute("INSERT INTO marks VALUES (%s)", [outcome.mark])
            committing = True
            conn.execute("COMMIT")
            outcome.result = "ok"
        except psycopg.Error as error:
            self._failed(outcome, error, committing=committing)

    def _failed(self, outcome: Outcome, error: psycopg.Error, *, committing: bool) -> None:
        gone = self.conn is None or self.conn.closed or self.conn.broken
        outcome.result = "unknown" if committing and gone else "failed"
        outcome.error = f"{error.sqlstate} {error}"
        retried = error.sqlstate == "40001" and outcome.transaction.isolation == "READ COMMITTED"
        late = error.sqlstate == "42703" and not self.clock.old_lives  # it had begun to write both before contract did
        refused = error.sqlstate == "P0001" and not self.new and self.clock.switching
        if not gone and not late and not refused and (error.sqlstate not in DECLARED or retried):
            self.broken.append(f"I13: {'NEW' if self.new else 'OLD'} {outcome.transaction}: {error.sqlstate} {error}")
        if self.conn is not None and not gone:
            # The story may end the session in this very moment; the next transaction then opens another.
            with contextlib.suppress(psycopg.OperationalError):
                self.conn.execute("ROLLBACK")
        if self.conn is not None and (gone or self.conn.broken):
            self.conn.close()

    # ------------------------------------------------------------------------------------ the deeds

    def _deed(self, conn: psycopg.Connection[Any], deed: Deed, outcome: Outcome) -> None:
        getattr(self, f"_do_{deed.kind}")(deed, outcome)

    @property
    def _column(self) -> str:
        return self.world.change.new_column if self.new else "s"

    @property
    def _side(self) -> str:
        """The side of the pair that a value of ours goes to; under one name both versions write the same column."""
        return "s" if self._column == "s" else "n"

    def _value(self, deed: Deed) -> Any:
        """Return what the deed writes, always the same, whatever the clock says when it is asked again."""
        value = self.world.written(deed.number, new=self.new, poison=self.clock.poison)
        return self.values.setdefault(deed.number, value)

    def _where(self) -> str:
        return " AND ".join(f"{name} = %s" for name in self.world.names)

    def _update(
        self,
        deed: Deed,
        assignments: str,
        params: list[Any],
        deed_is: str,
        value: Any,
        outcome: Outcome,
        extra: str = "",
    ) -> None:
        text = f"UPDATE t SET {assignments}, ver = ver + 1 WHERE {self._where()} {extra} RETURNING to_jsonb(t.*)"
        self._log(text, [*params, *self.world.values(deed.key)], deed_is, value, outcome)

    def _log(self, text: str, params: list[Any], deed_is: str, value: Any, outcome: Outcome) -> None:
        assert self.conn is not None
        synced = self.clock.synced
        for (row,) in self.conn.execute(text.encode(), params).fetchall():
            outcome.effects.append(Effect(row["born"], row["ver"], deed_is, value))
            self._check(row, wrote=(deed_is, value), synced=synced and self.clock.synced)

    def _do_set(self, deed: Deed, outcome: Outcome) -> None:
        self._update(deed, f"{self._column} = %s", [self._value(deed)], self._side, self._value(deed), outcome)

    def _do_both(self, deed: Deed, outcome: Outcome) -> None:
        """Both columns in one statement, consistent; only NEW knows both."""
        if not self.new or self._column == "s" or self.world.change.down is None or not self.clock.old_lives:
            return self._do_set(deed, outcome)
        value = self._value(deed)
        self._update(deed, "s = %s, n = %s", [value, self.world.change.up(value)], "both", value, outcome)

    def _do_touch(self, deed: Deed, outcome: Outcome) -> None:
        self._update(deed, "x = x + 1", [], "nothing", None, outcome)

    def _do_full_row(self, deed: Deed, outcome: Outcome) -> None:
        """As an ORM does: read, then write every column that this version knows, guarded by the version that was read."""
        row = self._read_row(deed.key)
        if row is None or self._column == "x":
            return self._do_set(deed, outcome)
        if self.new and row[self._column] is None:
            # Not filled yet, or to be NULL no more: to write back what was read would be no absolute value (I2).
            return self._do_set(deed, outcome)
        self._update(deed, f"{self._column} = %s, x = %s, poke = poke", [row[self._column], row["x"] + 1], "nothing", None,
                     outcome, f"AND ver = {row['ver']}")  # fmt: skip

    def _do_poke(self, deed: Deed, outcome: Outcome) -> None:
        """A write of S by a trigger of the application's."""
        if self.world.poke and not self.new:
            value = self.world.change.value(deed.number)  # the trigger takes NULL for "nothing to do"
            self._update(deed, "poke = %s", [value], "s", value, outcome)

    def _do_insert(self, deed: Deed, outcome: Outcome) -> None:
        self._put(deed, outcome, "ON CONFLICT DO NOTHING")

    def _do_upsert(self, deed: Deed, outcome: Outcome) -> None:
        names = ", ".join(self.world.names)
        self._put(
            deed,
            outcome,
            f"ON CONFLICT ({names}) DO UPDATE SET {self._column} = EXCLUDED.{self._column}, ver = t.ver + 1",
        )

    def _put(self, deed: Deed, outcome: Outcome, conflict: str) -> None:
        names, places = ", ".join(self.world.names), ", ".join("%s" for _ in self.world.names)
        text = f"INSERT INTO t AS t ({names}, born, {self._column}) VALUES ({places}, %s, %s) {conflict} RETURNING to_jsonb(t.*)"
        self._log(
            text,
            [*self.world.values(deed.key), f"b{deed.number}", self._value(deed)],
            self._side,
            self._value(deed),
            outcome,
        )

    def _do_insert_default(self, deed: Deed, outcome: Outcome) -> None:
        """Neither column: S has its default, and NEW's NULL is one where its session says that it is NEW."""
        means_null = self.new and self.world.means_null
        if means_null and (self.world.not_null or not self.clock.old_lives):
            return self._do_insert(deed, outcome)  # S may not be NULL, or N has a default of its own by now
        names, places = ", ".join(self.world.names), ", ".join("%s" for _ in self.world.names)
        text = (
            f"INSERT INTO t AS t ({names}, born) VALUES ({places}, %s) ON CONFLICT DO NOTHING RETURNING to_jsonb(t.*)"
        )
        deed_is = "null" if means_null else "n" if self.new and self._column == "x" else "default"
        self._log(text, [*self.world.values(deed.key), f"b{deed.number}"], deed_is, None, outcome)

    def _do_copy(self, deed: Deed, outcome: Outcome) -> None:
        """COPY has no ON CONFLICT, so only where the key is free; a rival may still be quicker."""
        assert self.conn is not None
        if self._read_row(deed.key) is not None:
            return
        names = ", ".join(self.world.names)
        try:
            text = f"COPY t ({names}, born, {self._column}) FROM STDIN".encode()
            with self.conn.transaction(), self.conn.cursor() as cursor, cursor.copy(text) as copy:
                copy.write_row([*self.world.values(deed.key), f"b{deed.number}", self._value(deed)])
        except psycopg.errors.UniqueViolation:
            return
        row = self._read_row(deed.key)
        assert row is not None
        outcome.effects.append(Effect(row["born"], row["ver"], self._side, self._value(deed)))
        self._check(row, wrote=(self._side, self._value(deed)))

    def _do_merge(self, deed: Deed, outcome: Outcome) -> None:
        assert self.conn is not None
        names = self.world.names
        using = ", ".join(f"%s AS k{n}" for n, _ in enumerate(names))
        on = " AND ".join(f"t.{name} = k{n}::{self._key_type(n)}" for n, name in enumerate(names))
        text = f"MERGE INTO t USING (SELECT {using}) AS w ON {on} WHEN MATCHED THEN UPDATE SET {self._column} = %s, ver = t.ver + 1"
        done = self.conn.execute(text.encode(), [*self.world.values(deed.key), self._value(deed)])
        row = self._read_row(deed.key) if done.rowcount else None
        if row is not None:
            outcome.effects.append(Effect(row["born"], row["ver"], self._side, self._value(deed)))
            self._check(row, wrote=(self._side, self._value(deed)))

    def _key_type(self, n: int) -> str:
        return {"bigint": "bigint", "text": "text", "uuid": "uuid", "numeric": "numeric", "moment": "timestamptz"}.get(
            self.world.key, ("int", "text")[n]
        )

    def _do_move(self, deed: Deed, outcome: Outcome) -> None:
        """The key changes, perhaps from behind the cursor to before it; a key that is taken is left."""
        assert self.conn is not None
        names = ", ".join(f"{name} = %s" for name in self.world.names)
        try:
            with self.conn.transaction():
                self._update(deed, names, list(self.world.values(deed.to)), "nothing", None, outcome)
        except psycopg.errors.UniqueViolation:
            return

    def _do_delete(self, deed: Deed, outcome: Outcome) -> None:
        text = f"DELETE FROM t WHERE {self._where()} RETURNING to_jsonb(t.*)"
        assert self.conn is not None
        for (row,) in self.conn.execute(text.encode(), self.world.values(deed.key)).fetchall():
            outcome.effects.append(Effect(row["born"], row["ver"] + 1, "delete"))

    def _do_replace(self, deed: Deed, outcome: Outcome) -> None:
        """Delete and insert again, the same key, in one transaction."""
        self._do_delete(deed, outcome)
        self._do_insert(deed, outcome)

    def _do_lock(self, deed: Deed, outcome: Outcome) -> None:
        """A row lock and no write."""
        self._one(f"SELECT 1 FROM t WHERE {self._where()} FOR UPDATE", self.world.values(deed.key))

    def _do_share(self, deed: Deed, outcome: Outcome) -> None:
        """What a foreign key's check takes, and a child of the row where there are children."""
        if self.world.child and self._read_row(deed.key) is not None:
            names, places = ", ".join(self.world.names), ", ".join("%s" for _ in self.world.names)
            assert self.conn is not None
            try:
                with self.conn.transaction():
                    self.conn.execute(
                        f"INSERT INTO child ({names}) VALUES ({places})".encode(), self.world.values(deed.key)
                    )
            except psycopg.errors.ForeignKeyViolation:
                return
        else:
            self._one(f"SELECT 1 FROM t WHERE {self._where()} FOR KEY SHARE", self.world.values(deed.key))

    def _do_read(self, deed: Deed, outcome: Outcome) -> None:
        assert self.conn is not None
        synced = self.clock.synced
        for (row,) in self.conn.execute("SELECT to_jsonb(t.*) FROM t").fetchall():
            self._check(row, synced=synced and self.clock.synced)

    def _do_many(self, deed: Deed, outcome: Outcome) -> None:
        """Every row, in an order of our own, as an analyst's script does."""
        order = "DESC" if deed.number % 2 else "ASC"
        text = f"SELECT to_jsonb(t.*) FROM t ORDER BY {', '.join(f'{name} {order}' for name in self.world.names)} FOR UPDATE"
        assert self.conn is not None
        rows = [row for (row,) in self.conn.execute(text.encode()).fetchall()]
        for row in rows[:4]:
            where = [row[name] for name in self.world.names]
            found = f"UPDATE t SET x = x + 1, ver = ver + 1 WHERE {self._where()} RETURNING to_jsonb(t.*)"
            self._log(found, where, "nothing", None, outcome)

    def mend(self) -> None:
        """Do what a person does who is told of rows that ``up`` refuses: give each a value that it takes."""
        conn, mended = self._connect(), Outcome(Transaction(0, "READ COMMITTED", (), "commit"), "ok", [])
        self.outcomes.append(mended)
        # Whatever is left of it is told and mended the next time; the story may have ended this session, too.
        with contextlib.suppress(psycopg.OperationalError):
            found = conn.execute("SELECT born, ver FROM t WHERE starts_with(s, %s) ORDER BY born", [BAD]).fetchall()
            for born, ver in found:
                text = f"UPDATE t SET s = %s, ver = ver + 1 WHERE born = %s AND starts_with(s, '{BAD}') RETURNING to_jsonb(t.*)"
                self._log(text, [f"Mended{ver}{born}", born], "s", f"Mended{ver}{born}", mended)

    # ------------------------------------------------------------------------------------- the looks

    def _read_row(self, key: int) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._one(
            f"SELECT to_jsonb(t.*) FROM t WHERE {self._where()}", self.world.values(key)
        )
        return found

    def _one(self, text: str, params: Any = None) -> Any:
        assert self.conn is not None
        row = self.conn.execute(text.encode(), params).fetchone()
        return row[0] if row else None

    def _check(self, row: dict[str, Any], wrote: tuple[str, Any] = ("", None), *, synced: bool = False) -> None:
        """I1 to I4 of a row that was written or read: what was written stands, and the other version sees its value."""
        kind, who = self.world.change, "NEW" if self.new else "OLD"
        s, n = row.get("s", ...), row.get("n", ...)
        side, value = wrote
        if side in ("s", "n") and row.get(side, value) != value:
            self.broken.append(f"{'I1' if side == 's' else 'I2'}: {who} wrote {value!r} and reads {row}")
        if s is ... or n is ... or kind.down is None or not synced:
            return
        if side == "s" and n != kind.up(value):
            self.broken.append(f"I3: OLD wrote {value!r} and NEW would read {row}")
        if not in_step(kind, s, n) and not (n is None and not side and not self.clock.filled):
            self.broken.append(f"I3, I4: {who} has a row out of step: {row}")
