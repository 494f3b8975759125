"""``python -m tests.soak --minutes N``: the installed wheel, a standby, two applications, and chaos; prints what it did.

Change after change goes to contract, or back from somewhere, while everything that can happen does. In the end every
acknowledged write must be there, and every run must have come to where it was sent. Exit status 1 if any promise broke.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from osc.pg.embedded import EmbeddedServer
from tests.concurrent.judgement import deadlocks_with_osc, judge
from tests.concurrent.world import KEYS, KINDS, World
from tests.concurrent.writers import Clock, Deed, Transaction, Writer
from tests.fixtures.postgres import dump_schema, start_server
from tests.model.conformance import explain_history
from tests.soak.commands import Osc
from tests.soak.nemesis import Nemesis, Watchdog
from tests.soak.report import Report
from tests.soak.road import Road
from tests.soak.wheel import install

CANARY = "c4narySecretOfTheSoak"
ROWS = 600
PEAK_RSS_MAX_MB = 200
DEEDS = ["set"] * 4 + ["both", "touch", "full_row", "insert", "insert_default", "upsert", "copy", "merge", "move", "delete",
                       "replace", "lock", "share", "many"]  # fmt: skip
PHASES = ("expand", "dual_write", "backfill", "switch", "contract")


@dataclass
class Soak:
    """A server with a standby, the installed osc, and one change after the other."""

    server: EmbeddedServer
    standby: EmbeddedServer
    osc: Osc
    road: Road
    place: Path
    report: Report
    chance: random.Random
    kinds: list[str]
    """Of changes, by their names in tests.concurrent.world."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1_000))

    @property
    def dsn(self) -> str:
        return self.server.dsn("soak")

    def run(self, minutes: float) -> None:
        """Make changes until the time is over."""
        end, watchdog = time.monotonic() + minutes * 60, Watchdog(self.dsn, self.osc, self.report)
        watchdog.start()
        for number in itertools.count(1):
            if number > 1 and time.monotonic() > end:
                break
            if self._change(f"{number:05d}_soak") == "failed":
                break  # what comes after it would only fail over what it left
        watchdog.stopped.set()
        watchdog.join()
        self.report.checked("no statement waits long for osc", watchdog.verdict())
        heavy = self.report.peak_rss_mb > PEAK_RSS_MAX_MB
        self.report.checked("memory stays small", [f"{self.report.peak_rss_mb:.0f} MB"] if heavy else [])
        self.report.checked("no secret leaves", self._leaks())
        self.report.checked("the standby follows", self._standby_follows())

    # --------------------------------------------------------------------------------------- a change

    def _change(self, change: str) -> str:
        chance = self.chance
        world = World(chance.choice(self.kinds), chance.choice(sorted(KEYS)), chance.random() < 0.5, chance.random() < 0.5,
                      False, chance.random() < 0.3, chance.choice([100, 60]), (), ROWS)  # fmt: skip
        self._tables(world)
        before, log = dump_schema(self.server, self.dsn), self.server.log_path.stat().st_size
        plan = self.place / f"{change}.yaml"
        plan.write_text(world.plan)
        clock, over = Clock(), {False: threading.Event(), True: threading.Event()}
        writers = [
            Writer(self.dsn, world, new, self._transactions(over[new]), clock) for new in (False, False, True, True)
        ]
        old, new, mender = writers[:2], writers[2:], Writer(self.dsn, world, False, (), clock)
        nemesis = Nemesis(
            random.Random(chance.random()), self.server, self.standby, self.dsn, self.osc, self.road, self.report
        )
        nemesis.change = change
        turn = chance.choice([None, None, None, "dual_write", "backfill", "switch"])
        for one in old:
            one.start()
        nemesis.start()
        came = self._phases(plan, change, turn, clock, over, old, new, mender)
        nemesis.stopped.set()
        nemesis.join()
        for stop in over.values():
            stop.set()
        for one in writers:
            with contextlib.suppress(RuntimeError):  # was never started
                one.join(60)
        if mender.conn is not None:
            mender.conn.close()
        self._check(world, change, came, before, log, [*writers, mender])
        self.report.changes[f"{world.kind} {came}"] += 1
        return came

    def _phases(self, plan: Path, change: str, turn: str | None, clock: Clock, over: dict[bool, threading.Event],
                old: list[Writer], new: list[Writer], mender: Writer) -> str:  # fmt: skip
        def mend() -> None:
            clock.poison = False
            mender.mend()

        mends = mend if mender.world.change.poison else None
        for phase in PHASES:
            clock.switching = clock.switching or phase == "switch"
            if phase == "contract":
                clock.old_lives = False
                over[False].set()
                for one in old:
                    one.join(60)
            if not self.osc.until_done("apply", str(plan), "--to", phase, mend=mends):
                return "failed"
            clock.poison = True
            clock.synced, clock.filled = clock.synced or phase == "dual_write", clock.filled or phase == "backfill"
            if phase == "dual_write":
                for one in new:
                    one.start()
            if phase == turn:
                clock.synced = clock.filled = False
                over[True].set()
                for one in new:
                    one.join(60)
                return "rolled back" if self.osc.until_done("rollback", change, mend=mends) else "failed"
        return "done"

    def _transactions(self, over: threading.Event) -> Iterator[Transaction]:
        """Yield what comes to an application's mind until it is over."""
        chance = random.Random(self.chance.random())
        while not over.wait(chance.uniform(0.002, 0.02)):
            deeds = tuple(
                Deed(chance.choice(DEEDS), chance.randrange(ROWS + 20), next(self.numbers), chance.randrange(ROWS + 20))
                for _ in range(chance.randint(1, 3))
            )
            isolation = chance.choice(["READ COMMITTED"] * 4 + ["REPEATABLE READ", "SERIALIZABLE"])
            yield Transaction(-1, isolation, deeds, chance.choice(["commit"] * 6 + ["rollback"] * 3 + ["savepoint"]))

    # ------------------------------------------------------------------------------ ground and checks

    def _tables(self, world: World) -> None:
        with psycopg.connect(self.server.dsn(), autocommit=True) as conn:
            if not conn.execute("SELECT 1 FROM pg_database WHERE datname = 'soak'").fetchone():
                conn.execute("CREATE DATABASE soak")
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            conn.execute("DROP TABLE IF EXISTS child, t, marks; DROP FUNCTION IF EXISTS touch, poked, picky")
            for one in world.statements("soak"):
                conn.execute(one.encode())
            names, places = ", ".join(world.names), ", ".join("%s" for _ in world.names)
            with conn.cursor() as cursor:
                rows = [
                    (*world.values(k), world.written(k, new=False, poison=True), f"first{k}") for k in range(world.rows)
                ]
                cursor.executemany(f"INSERT INTO t ({names}, s, born) VALUES ({places}, %s, %s)".encode(), rows)

    def _check(self, world: World, change: str, came: str, before: str, log: int, writers: list[Writer]) -> None:
        report = self.report
        for one in writers:
            report.transactions.update(outcome.result for outcome in one.outcomes)
            report.checked("no application was refused or lied to", one.broken)
        report.checked("every acknowledged write is there", judge(self.dsn, world, writers))
        text = self.server.log_path.read_bytes()[log:].decode(errors="replace")
        report.checked("no application died in a deadlock with osc", deadlocks_with_osc(text))
        if came == "rolled back":
            same = dump_schema(self.server, self.dsn) == before
            report.checked("the way back leaves the schema as it was", [] if same else [f"{change}: another schema"])
        report.checked("the history explains every state", self._unexplained())
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            left = conn.execute(
                "SELECT relname::text FROM pg_class WHERE relname LIKE 'osc\\_%' AND relnamespace = 'public'::regnamespace"
            )
            report.checked("nothing of osc is left behind", [f"{change}: {name}" for (name,) in left])

    def _unexplained(self) -> list[str]:
        try:
            explain_history(self.dsn)
        except AssertionError as error:
            return [str(error)]
        return []

    def _leaks(self) -> list[str]:
        found = [f"a command said it: {said[-300:]}" for said in self.osc.said if CANARY in said]
        if CANARY in self.server.log_path.read_text(errors="replace"):
            found.append("it is in the server's log")
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            rows = conn.execute("SELECT count(*) FROM osc.event AS e WHERE e::text LIKE %s", [f"%{CANARY}%"]).fetchone()
            found += ["it is in the history"] if rows and rows[0] else []
        return found

    def _standby_follows(self) -> list[str]:
        with psycopg.connect(self.dsn, autocommit=True) as conn:
            row = conn.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        with psycopg.connect(self.standby.dsn(), autocommit=True) as conn:
            for _ in range(300):
                behind = conn.execute("SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", [row[0]]).fetchone()
                if behind and not behind[0]:
                    return []
                time.sleep(0.1)
        return ["it is still behind after 30 s"]


def main() -> int:
    """Run the soak that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="of changes; all of them unless said")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    asked = parser.parse_args()
    report = Report(asked.seed, asked.minutes)
    with tempfile.TemporaryDirectory(prefix="osc-soak-") as name, contextlib.ExitStack() as stack:
        place = Path(name)
        program = install(place)
        server = stack.enter_context(start_server(18, {"fsync": "on"}))
        standby = stack.enter_context(server.basebackup())
        dsn = f"{server.dsn('soak', host='127.0.0.1')} password={CANARY}"
        road = stack.enter_context(Road(dsn))
        osc = Osc(program, road.dsn, place, report)
        Soak(server, standby, osc, road, place, report, random.Random(asked.seed),
             asked.kind or sorted(KINDS)).run(asked.minutes)  # fmt: skip
    print(json.dumps(report.as_json(), indent=2) if asked.json else "\n".join(report.lines()))
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
