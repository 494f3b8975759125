"""Ways to fill ``items.total`` that can be switched on and off while an application writes the same table."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import anyio
import psycopg

from benchmarks.methods import ONE_UPDATE, PLAN, TOUCH, add_touch, by_key
from osc.executor.backfill.pace import WORK_US
from osc.pg.target import Target
from osc.program import Phase
from osc.sql.resting import ONE_TURN, rested
from osc.verbs.apply import apply
from osc.verbs.pause import Scope, pause
from osc.verbs.resume import resume
from osc.verbs.session import Session

CHANGE = "00001_bench"
NAMED = "osc:{}"
"""Every session that fills is named as osc's own are, so that one watcher finds who waits behind any of them."""
END_TIMEOUT_S = 60.0


class Filler(Protocol):
    """Off until it is switched on; ``close`` leaves no session behind."""

    def on(self) -> None: ...
    def off(self) -> None: ...
    def close(self) -> None: ...


class Osc:
    """osc with its default settings: ``osc advance`` in a process of its own, switched by pause and resume."""

    def __init__(self, dsn: str) -> None:
        self._session, self._scope = Session(Target.resolve(dsn)), Scope(CHANGE)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"{CHANGE}.yaml"
            path.write_text(PLAN.format(pacing="{}"))
            anyio.run(self._apply, path)
        self.off()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "osc", "advance", CHANGE, "--to", "backfill"],
            env={**os.environ, "OSC_DATABASE_URL": dsn}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    async def _apply(self, path: Path) -> None:
        await apply(self._session, path, to=Phase.DUAL_WRITE)

    def on(self) -> None:
        """Let it go on; it looks for that twice a second."""
        anyio.run(resume, self._session, self._scope)

    def off(self) -> None:
        """Stop it; a batch in flight is over within its statement timeout."""
        anyio.run(pause, self._session, self._scope)

    def close(self) -> None:
        """End the process; what it has filled stays."""
        self._process.terminate()
        self._process.wait(END_TIMEOUT_S)


class OneUpdate:
    """One UPDATE of the whole table, begun when it is switched on and cancelled, if it is not done, when switched off."""

    def __init__(self, dsn: str) -> None:
        self._conn = psycopg.connect(dsn, autocommit=True, application_name=NAMED.format("one-update"))
        self._conn.execute("ALTER TABLE items ADD COLUMN total bigint")
        self._thread = threading.Thread()

    def on(self) -> None:
        """Begin it."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def off(self) -> None:
        """Cancel it."""
        self._conn.cancel_safe()
        self._thread.join()

    def close(self) -> None:
        """Close its session."""
        self._conn.close()

    def _run(self) -> None:
        try:
            self._conn.execute(ONE_UPDATE)
        except psycopg.errors.QueryCanceled:
            return


class Switched:
    """A loop over one session in a thread, switched on and off between two of its statements."""

    NAME = ""

    def __init__(self, dsn: str) -> None:
        self._conn = psycopg.connect(dsn, autocommit=True, application_name=NAMED.format(self.NAME))
        self._conn.execute("ALTER TABLE items ADD COLUMN total bigint")
        self._may_go_on, self._is_over = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def on(self) -> None:
        """Let it go on."""
        self._may_go_on.set()

    def off(self) -> None:
        """Stop it behind the statement that runs."""
        self._may_go_on.clear()

    def close(self) -> None:
        """End it, and close its session."""
        self._is_over = True
        self._may_go_on.set()
        self._thread.join()
        self._conn.close()

    def _run(self) -> None:
        self._may_go_on.wait()
        for _ in self._statements():
            self._may_go_on.wait()
            if self._is_over:
                return

    def _statements(self) -> Iterator[object]:
        """Do one statement after the other, each when it is asked for."""
        yield from ()


class Touch(Switched):
    """The shape of pgroll: batches of 1,000 rows by key fire a trigger."""

    NAME = "trigger-touch"

    def _statements(self) -> Iterator[object]:
        add_touch(self._conn)
        yield from by_key(self._conn, TOUCH)


class Busy(Switched):
    """The control: a session that only computes, in statements of some ten milliseconds. It reads no table and writes no WAL,
    so what the application feels of it is what any busy session costs on this machine.
    """

    NAME = "busy"

    def _statements(self) -> Iterator[object]:
        while True:
            yield self._conn.execute("SELECT sum(n) FROM generate_series(1, 200000) AS n")


class Breathing(Switched):
    """The control of what rests leave: the same session, computing row by row and resting as statements of osc do."""

    NAME = "breathing"

    def _statements(self) -> Iterator[object]:
        self._conn.execute(ONE_TURN)
        streamed = "(SELECT generate_series(1, 200000) AS n) AS numbers"  # in FROM all of it would be made before the first row
        while True:
            yield self._conn.execute(f"SELECT count(*) FROM {streamed} WHERE n < 0 OR {rested(str(WORK_US))}".encode())


class Elsewhere(Switched):
    """The control of what writing costs: UPDATEs of a table of its own, HOT, that rest as statements of osc do.

    Nobody waits for its rows, so what the application feels beside it is the processor, the caches and the WAL.
    """

    NAME = "elsewhere"
    BLOCKS = 400
    """A statement goes through so many."""

    def _statements(self) -> Iterator[object]:
        conn = self._conn
        conn.execute(ONE_TURN)
        conn.execute("SET synchronous_commit = off")
        conn.execute("DROP TABLE IF EXISTS elsewhere")
        conn.execute(
            "CREATE TABLE elsewhere (id bigint PRIMARY KEY, n int, filler text)"
            " WITH (fillfactor = 45, autovacuum_enabled = off)"
        )
        conn.execute("INSERT INTO elsewhere SELECT n, n, repeat('x', 90) FROM generate_series(1, 400000) AS n")
        conn.execute("VACUUM (ANALYZE) elsewhere")
        (blocks,) = conn.execute("SELECT pg_relation_size('elsewhere') / 8192").fetchone() or (0,)
        for first in itertools.cycle(range(0, int(blocks), self.BLOCKS)):
            within = f"ctid >= '({first},0)' AND ctid < '({first + self.BLOCKS},0)'"
            yield conn.execute(f"UPDATE elsewhere SET n = n + 1 WHERE {within} AND {rested(str(WORK_US))}".encode())


FILLERS: dict[str, Callable[[str], Filler]] = {
    "osc": Osc,
    "one-update": OneUpdate,
    "trigger-touch-1000": Touch,
    "busy": Busy,
    "breathing": Breathing,
    "elsewhere": Elsewhere,
}
