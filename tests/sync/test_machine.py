"""Both versions of the application write one table, in any order, through the whole change; a model says what is right.

The model is the design's table (docs/design.md, "Sync triggers") and nothing else: who wrote S or N of a row last.
I1 to I5: each version reads what it wrote, sees what the other wrote, and nothing that nobody wrote is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import RawCursor

from osc.executor.backfill.session import WALK_THE_KEY
from osc.program import FillStep
from osc.program import Phase as ChangePhase
from tests.sync.rig import AS_OSC, ByHand, make_state

if TYPE_CHECKING:
    from tests.fixtures.postgres import Connect


@dataclass(frozen=True)
class Row:
    """What a row must hold. ``n`` is ``...`` while nobody has to have filled it: NULL and up(S) are both right."""

    s: str | None
    n: str | Any | None
    x: int = 0


def up(s: str | None) -> str | None:
    """Lossy: two values of S may share one N."""
    return None if s is None else s.lower()


def settled(row: Row) -> Row:
    """The row after any touch: an unfilled one is filled by the trigger."""
    return replace(row, n=up(row.s)) if row.n is ... else row


DROP_FUNCTIONS = """DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace LOOP
        EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $$"""
"""The last story's trigger function: what has its name and is not of this attempt is refused."""
KEYS = st.integers(-6, 6)
HOLDERS = st.integers(0, 1)


class Change(RuleBasedStateMachine):
    """One table, an OLD and a NEW writer, transactions that hold rows, a fill taken batch by batch, and the switch."""

    connect: Connect
    dsn: str
    version = 0

    @initialize(rows=st.dictionaries(KEYS, st.none() | st.just("Old"), min_size=3, max_size=9), limit=st.integers(1, 6))
    def begin(self, rows: dict[int, str | None], limit: int) -> None:
        self.opened: list[psycopg.Connection[Any]] = []
        self.app, self.osc = self.open(), self.open(options=f"{AS_OSC} -c osc.writer=backfill -c lock_timeout=5ms")
        self.osc.execute(WALK_THE_KEY)
        self.app.execute("DROP TABLE IF EXISTS t")
        self.app.execute(DROP_FUNCTIONS)
        self.app.execute("CREATE TABLE t (id int PRIMARY KEY, s text, x int DEFAULT 0)")
        self.model: dict[int, Row] = {}
        for key, value in rows.items():
            self.app.execute("INSERT INTO t VALUES (%s, %s)", [key, value])
            self.model[key] = Row(value, ...)
        self.change = ByHand(
            self.dsn, "- change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n}"
        )
        self.opened.append(self.change.conn)
        self.change.expand().dual_write()
        (self.step,) = self.change.steps(ChangePhase.BACKFILL, FillStep)
        end = RawCursor(self.osc).execute(self.step.end).fetchone()
        self.limit, self.end, self.cursor, self.seq = limit, end and end[0], None, 0
        self.finished = self.switched = False
        self.osc.execute("DELETE FROM osc.skipped")
        ((self.slice,),) = self.osc.execute(
            "INSERT INTO osc.slice (change, step, epoch, hi) VALUES (0, 'f', 1, %s) RETURNING slice", [self.end]).fetchall()  # fmt: skip
        self.holders = [self.open(autocommit=False) for _ in range(2)]
        self.held: list[set[int]] = [set(), set()]
        self.pending: list[dict[int, Row | None]] = [{}, {}]

    def open(self, **kwargs: Any) -> psycopg.Connection[Any]:
        self.opened.append(psycopg.connect(self.dsn, **{"autocommit": True, **kwargs}))
        return self.opened[-1]

    def teardown(self) -> None:
        """Every story ends with the whole change: what was forgotten on the way comes to light here."""
        try:
            if hasattr(self, "held"):
                self.to_the_end()
        finally:
            for conn in getattr(self, "opened", []):
                conn.close()

    def to_the_end(self) -> None:
        for who in range(len(self.holders)):
            self.let_go(who, commit=False)
        while not self.finished:
            self.batch(skipping=True)
        if not self.switched:
            self.switch()
        self.every_row_is_what_was_written()

    def value(self) -> str:
        """A value that was never written before; upper and lower case, so that ``up`` loses something."""
        Change.version += 1
        return f"Value{Change.version}"

    def free(self, *keys: int) -> bool:
        return not any(key in held for key in keys for held in self.held)

    # -- writes of the application, each a transaction ------------------------------------------------------------

    @rule(key=KEYS, new=st.booleans(), fate=st.sampled_from(["commit", "commit", "rollback"]))
    def write(self, key: int, new: bool, fate: str) -> None:
        """OLD sets S or NEW sets N, by insert or update as it comes; sometimes the transaction is rolled back."""
        if not self.free(key):
            return
        column, value = ("n" if new else "s"), self.value()
        with self.app.transaction(force_rollback=fate == "rollback"):
            self.app.execute(f"INSERT INTO t (id, {column}) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET {column} = EXCLUDED.{column}",
                             [key, value])  # fmt: skip
            seen = self.app.execute("SELECT s, n FROM t WHERE id = %s", [key]).fetchone()
        row = Row(value, value) if new else Row(value, up(value))
        assert seen == (row.s, row.n), "I1, I2, I3: a version reads its own write, and the other sees it"
        if fate == "commit":
            self.model[key] = replace(row, x=self.model[key].x if key in self.model else 0)

    @rule(key=KEYS, full_row=st.booleans())
    def touch(self, key: int, full_row: bool) -> None:
        """A write of neither column, as an ORM makes it: all columns, or only the changed one."""
        if not self.free(key):
            return
        columns = "s = s, n = n, x = x + 1" if full_row else "x = x + 1"
        self.app.execute(f"UPDATE t SET {columns} WHERE id = %s", [key])
        if key in self.model:
            self.model[key] = replace(settled(self.model[key]), x=self.model[key].x + 1)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        if self.free(key):
            self.app.execute("DELETE FROM t WHERE id = %s", [key])
            self.model.pop(key, None)

    @rule(key=KEYS, to=KEYS, new=st.booleans())
    def move(self, key: int, to: int, new: bool) -> None:
        """The key changes, from one side of the cursor to the other, alone or together with a value."""
        if not self.free(key, to) or key not in self.model or to in self.model:
            return
        self.app.execute("UPDATE t SET id = %s WHERE id = %s", [to, key])
        self.model[to] = settled(self.model.pop(key))

    @rule(key=KEYS, new=st.booleans())
    def replace_row(self, key: int, new: bool) -> None:
        """Delete and insert again in one transaction."""
        if not self.free(key):
            return
        value = self.value()
        with self.app.transaction():
            self.app.execute("DELETE FROM t WHERE id = %s", [key])
            self.app.execute(f"INSERT INTO t (id, {'n' if new else 's'}) VALUES (%s, %s)", [key, value])
        self.model[key] = Row(value, value if new else up(value))

    # -- transactions that stay open while batches go by ----------------------------------------------------------

    @rule(who=HOLDERS, key=KEYS, mode=st.sampled_from(["UPDATE", "NO KEY UPDATE", "SHARE"]))
    def hold(self, who: int, key: int, mode: str) -> None:
        """Lock a row and write nothing."""
        if self.free(key) and key in self.model:
            self.holders[who].execute(f"SELECT FROM t WHERE id = %s FOR {mode}", [key])
            self.held[who].add(key)

    @rule(who=HOLDERS, key=KEYS, how=st.sampled_from(["s", "n", "delete"]))
    def hold_a_write(self, who: int, key: int, how: str) -> None:
        """Write a row and leave the transaction open."""
        if not self.free(key) or key not in self.model:
            return
        value = self.value()
        if how == "delete":
            self.holders[who].execute("DELETE FROM t WHERE id = %s", [key])
            self.pending[who][key] = None
        else:
            self.holders[who].execute(f"UPDATE t SET {how} = %s WHERE id = %s", [value, key])
            self.pending[who][key] = Row(value, value if how == "n" else up(value), self.model[key].x)
        self.held[who].add(key)

    @rule(who=HOLDERS, commit=st.booleans())
    def let_go(self, who: int, commit: bool) -> None:
        """End an open transaction either way."""
        if not commit:
            self.holders[who].rollback()
        else:
            self.holders[who].commit()
            for key, row in self.pending[who].items():
                if row is None:
                    del self.model[key]
                else:
                    self.model[key] = row
        self.held[who], self.pending[who] = set(), {}

    # -- the fill, the verification, the switch -------------------------------------------------------------------

    @precondition(lambda self: not self.finished)
    @rule(skipping=st.booleans())
    def batch(self, skipping: bool) -> None:
        """Take a batch; a plain one that meets a locked row gives up and moves nothing."""
        sql = self.step.skipping if skipping else self.step.batch
        params = [self.cursor, self.end, self.limit, self.slice, 1, self.seq, 0]
        try:
            row = RawCursor(self.osc).execute(sql, params).fetchone()
        except psycopg.errors.LockNotAvailable:
            assert not skipping, "a skipping batch never waits for a row"
            return
        assert row is not None
        self.cursor, self.finished, self.seq = row[0], row[1], self.seq + 1

    @rule()
    def revisit(self) -> None:
        """Visit every window that was skipped."""
        for number, lo, hi in self.osc.execute("SELECT skipped, lo, hi FROM osc.skipped ORDER BY 1").fetchall():
            row = (
                RawCursor(self.osc).execute(self.step.revisit, [lo, hi, 0, self.slice, 1, self.seq, number]).fetchone()
            )
            assert row is not None
            self.seq += 1

    @precondition(lambda self: self.finished and not self.switched and not any(self.held))
    @rule()
    def complete(self) -> None:
        """The fill ends: nothing skipped is left, and every row is in step (I6, I8)."""
        self.revisit()
        assert self.osc.execute("SELECT count(*) FROM osc.skipped").fetchall() == [(0,)]
        assert self.change.out_of_step() == []
        self.model = {key: settled(row) for key, row in self.model.items()}

    @precondition(lambda self: self.finished and not self.switched and not any(self.held))
    @rule()
    def switch(self) -> None:
        self.complete()
        self.change.switch()
        self.switched = True

    @precondition(lambda self: self.switched and not any(self.held))
    @rule()
    def switch_back(self) -> None:
        assert self.change.out_of_step() == []
        self.change.switch_back()
        self.switched = False

    @invariant()
    def every_row_is_what_was_written(self) -> None:
        """I1 to I5, I7: S is what was written last, N is its value, and no other column is touched."""
        if not hasattr(self, "model"):
            return
        rows = {key: Row(s, n, x) for key, s, n, x in self.app.execute("SELECT id, s, n, x FROM t")}
        wanted = {
            key: replace(row, n=rows[key].n if key in rows and rows[key].n in (None, up(row.s)) else up(row.s))
            if row.n is ... else row for key, row in self.model.items()
        }  # fmt: skip
        assert rows == wanted


@pytest.mark.timeout(180)
def test_old_and_new_application_write_side_by_side_through_the_whole_change(dsn: str, connect: Connect) -> None:
    make_state(dsn)
    Change.dsn, Change.connect = dsn, connect
    run_state_machine_as_test(
        Change,
        settings=settings(max_examples=25, stateful_step_count=40, deadline=None, derandomize=True, database=None,
                          phases=[Phase.generate], print_blob=False,
                          suppress_health_check=list(HealthCheck)),
    )  # fmt: skip
