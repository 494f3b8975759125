"""The nemesis: every few seconds something happens to osc, to the server, or to an application, and is healed again."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable

import psycopg

from osc.demo.statements import statement
from osc.demo.watcher import Stays, Waiting
from osc.pg.embedded import EmbeddedServer
from tests.soak.commands import Osc
from tests.soak.report import Report
from tests.soak.road import Road

LOOK_S = 0.02
WAIT_MAX_MS = 3_000
"""No statement of the application waits longer for osc: half of deadlock_timeout for a row, half a second for a table
lock, a second under it; what is more than that here is what a busy machine adds."""


class Nemesis(threading.Thread):
    """Draws a fault every one to five seconds until it is stopped."""

    def __init__(self, chance: random.Random, server: EmbeddedServer, standby: EmbeddedServer, dsn: str, osc: Osc, road: Road,
                 report: Report) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.chance, self.server, self.standby, self.dsn = chance, server, standby, dsn
        self.osc, self.road, self.report = osc, road, report
        self.change = ""
        self.stopped = threading.Event()
        self.faults: list[tuple[int, Callable[[], None]]] = [
            (4, self.kill9), (3, self.stop_and_continue), (2, self.interrupt), (3, self.rival), (4, self.end_sessions_of_osc),
            (3, self.end_sessions_of_the_application), (1, self.crash_of_the_server), (3, self.row_lock), (2, self.old_snapshot),
            (3, self.cut_line), (4, self.lost_reply), (2, self.standby_falls_behind), (3, self.pause_and_resume), (2, self.slower),
        ]  # fmt: skip

    def run(self) -> None:
        while not self.stopped.wait(self.chance.uniform(1, 5)):
            (fault,) = self.chance.choices([one for _, one in self.faults], [weight for weight, _ in self.faults])
            self.report.faults[fault.__name__] += 1
            # The server may be away at this moment; the fault then is that it is away.
            with contextlib.suppress(psycopg.Error):
                fault()

    def kill9(self) -> None:
        self.osc.signal(signal.SIGKILL)

    def stop_and_continue(self) -> None:
        process = self.osc.signal(signal.SIGSTOP)
        self.stopped.wait(self.chance.choice([0.5, 2, 17]))  # sometimes longer than its lease
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGCONT)

    def interrupt(self) -> None:
        self.osc.signal(self.chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))

    def rival(self) -> None:
        self.osc.finish(self.osc.start("advance", self.change, "--timeout", "20s"))

    def end_sessions_of_osc(self) -> None:
        self._sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'osc:%'")

    def end_sessions_of_the_application(self) -> None:
        self._sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'app-%'")

    def crash_of_the_server(self) -> None:
        self.server.crash()
        self.server.start_again()

    def cut_line(self) -> None:
        self.road.cut()

    def lost_reply(self) -> None:
        self.road.lose_a_reply(self.chance)

    def row_lock(self) -> None:
        with psycopg.connect(self.dsn, application_name="holder") as conn:
            conn.execute("SELECT FROM t WHERE x % 3 = 0 FOR UPDATE SKIP LOCKED")
            self.stopped.wait(self.chance.uniform(0.2, 2))

    def old_snapshot(self) -> None:
        with psycopg.connect(self.dsn, application_name="report") as conn:
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            conn.execute("SELECT count(*) FROM t")
            self.stopped.wait(self.chance.uniform(1, 4))

    def standby_falls_behind(self) -> None:
        with psycopg.connect(self.standby.dsn(), autocommit=True) as conn:
            conn.execute("SELECT pg_wal_replay_pause()")
            self.stopped.wait(self.chance.uniform(1, 4))
            conn.execute("SELECT pg_wal_replay_resume()")

    def pause_and_resume(self) -> None:
        self.osc.finish(self.osc.start("pause", self.change, "--reason", "the pager rang"))
        self.stopped.wait(self.chance.uniform(0.2, 2))
        while self.osc.finish(self.osc.start("resume", self.change))[0] == 1:
            time.sleep(0.5)  # the server was away

    def slower(self) -> None:
        self.osc.finish(self.osc.start("set", self.change, f"speed={self.chance.choice([20, 50, 80])}%", "--for", "5s"))

    def _sql(self, text: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True, application_name="dba") as conn:
            conn.execute(text.encode())


class Watchdog(threading.Thread):
    """Looks all the time who waits for osc, and how much memory its processes take."""

    def __init__(self, dsn: str, osc: Osc, report: Report) -> None:
        super().__init__(daemon=True)
        self.dsn, self.osc, self.report = dsn, osc, report
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.dsn, autocommit=True) as conn:
                self._watch(conn)
            self.stopped.wait(0.2)

    def _watch(self, conn: psycopg.Connection[tuple[object, ...]]) -> None:
        stays, look = Stays(), statement("behind_osc")
        while not self.stopped.wait(LOOK_S):
            rows = conn.execute(look, prepare=True).fetchall()
            stays.look(time.monotonic(), [Waiting(*row) for row in rows])  # type: ignore[arg-type]
            self.report.peak_rss_mb = max(self.report.peak_rss_mb, self.osc.peak_mb())
            if stays.longest.ms > self.report.longest_wait_ms:
                self.report.longest_wait_ms = stays.longest.ms
                self.report.longest_wait = f"({stays.longest.who} behind {stays.longest.behind})"

    def verdict(self) -> list[str]:
        """Return whether somebody waited too long."""
        late = self.report.longest_wait_ms > WAIT_MAX_MS
        return [f"{self.report.longest_wait_ms:.0f} ms {self.report.longest_wait}"] if late else []
