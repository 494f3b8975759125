"""A whole change under two versions of the application: the executor's acts, and the judgement in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from osc.pg.embedded import EmbeddedServer
from tests.acceptance.bench import KILLED, Bench
from tests.acceptance.processes import QUICK, quick
from tests.concurrent.judgement import deadlocks_with_osc, judge
from tests.concurrent.world import World
from tests.concurrent.writers import Clock, Transaction, Writer

SETTINGS = replace(QUICK, batch_rows_first=1, batch_rows_max=2, verify_rows=3, skip_windows_first=1)
"""Batches of a row or two, so that many writes fall between them."""
MENDED_MAX = 10
"""How often in a row a command may name poison: who writes it stops at the first time, and what was on its way arrives."""
SAYS_NO = 3
PHASES = ("expand", "dual_write", "backfill", "switch", "contract")


@dataclass(frozen=True)
class Act:
    """One command to osc, and what happens to the process that runs it."""

    verb: str
    to: str
    fault: str = "none"
    """none, kill9, rival, terminate, apps (the application's sessions are ended), pause, hold (a row is locked by somebody)."""
    point: str = "batch.before"
    passage: int = 1


@dataclass(frozen=True)
class Story:
    """Everything that is drawn: it can be told again."""

    world: World
    acts: tuple[Act, ...]
    old: tuple[tuple[Transaction, ...], ...]
    new: tuple[tuple[Transaction, ...], ...]


class Telling:
    """One story told on a fresh database."""

    def __init__(self, server: EmbeddedServer, dsn: str, place: Path, dump: Callable[[str], str], story: Story) -> None:
        self.server, self.story, self.clock = server, story, Clock()
        self.bench = Bench(dsn, place, dump, story.world.plan, quick(repr(story.world), base=SETTINGS))
        self.broken: list[str] = []
        self.mender = Writer(dsn, story.world, False, (), self.clock)

    def tell(self) -> list[str]:
        """Let everybody do what was drawn; return the promises that did not hold."""
        world, start = self.story.world, self.server.log_path.stat().st_size
        database = self.bench.value("SELECT current_database()")
        self.bench.do(*world.statements(database))
        self._first_rows()
        self.before = self.bench.schema
        old = [Writer(self.bench.dsn, world, False, one, self.clock) for one in self.story.old]
        new = [Writer(self.bench.dsn, world, True, one, self.clock) for one in self.story.new]
        try:
            for one in (*old, *new):
                one.start()
            for act in self.story.acts:
                self.clock.advance()
                for one in self._stop_before(act, old, new):
                    one.join(60)
                self._act(act)
        finally:
            self.clock.end()
            for one in (*old, *new):
                one.join(60)
                if one.is_alive():
                    self.broken.append(f"a writer hangs: {one.transactions}")
            if self.mender.conn is not None:
                self.mender.conn.close()
            self.bench.close()
        self.broken += [line for one in (*old, *new, self.mender) for line in one.broken]
        self.broken += judge(self.bench.dsn, world, [*old, *new, self.mender])
        self.broken += deadlocks_with_osc(self.server.log_path.read_bytes()[start:].decode(errors="replace"))
        return self.broken

    def _first_rows(self) -> None:
        world = self.story.world
        names, places = ", ".join(world.names), ", ".join("%s" for _ in world.names)
        with psycopg.connect(self.bench.dsn, autocommit=True) as conn, conn.cursor() as cursor:
            rows = [
                (*world.values(k), world.written(k, new=False, poison=True), f"first{k}") for k in range(world.rows)
            ]
            cursor.executemany(f"INSERT INTO t ({names}, s, born) VALUES ({places}, %s, %s)".encode(), rows)

    def _stop_before(self, act: Act, old: list[Writer], new: list[Writer]) -> list[Writer]:
        """OLD is gone before contract, NEW before the new column is."""
        if act.to == "contract":
            self.clock.old_lives = False
            return old
        return new if act is self.story.acts[-1] and act.verb == "rollback" else []

    # -------------------------------------------------------------------------------------- the acts

    def _act(self, act: Act) -> None:
        if act.verb == "rollback":
            self.clock.synced = self.clock.filled = False
        self.clock.switching = self.clock.switching or act.to == "switch"
        getattr(self, f"_{act.fault}")(act)
        self._to_the_end(act)
        self.clock.poison = True
        if act.verb == "rollback":
            self.clock.switching = False
        else:
            self.clock.synced = self.clock.synced or act.to == "dual_write"
            self.clock.filled = self.clock.filled or act.to == "backfill"

    def _command(self, act: Act, failpoints: str = "") -> Any:
        return self.bench.command(act.verb, failpoints, to=act.to or None)

    def _to_the_end(self, act: Act) -> None:
        ended = self.bench.run(act.verb, to=act.to or None)
        for _ in range(MENDED_MAX):
            if ended.exit_code != SAYS_NO or self.story.world.change.poison is None:
                break
            self.clock.poison = False
            self.mender.mend()
            ended = self.bench.run(act.verb, to=act.to or None)
        if ended.exit_code != 0:
            self.broken.append(f"{act} ends with {ended.exit_code}: {ended.answer}")

    @property
    def _may_refuse(self) -> int:
        return 0 if self.story.world.change.poison is None else SAYS_NO

    def _none(self, act: Act) -> None:
        """Undisturbed."""

    def _kill9(self, act: Act) -> None:
        ended = self._command(act, f"{act.point}=kill9@{act.passage}").wait(60)
        if ended.exit_code not in (KILLED, 0, self._may_refuse):
            self.broken.append(f"{act} ends with {ended.exit_code}: {ended.answer}")
        self.bench.lease_runs_out()

    def _stopped(self, act: Act, do: Callable[[], None]) -> None:
        command = self._command(act, f"{act.point}=stop@{act.passage}")
        if self.bench.stands_still(command):
            do()
            command.go_on()
        ended = command.wait(60)
        if ended.exit_code not in (0, 75, 1, self._may_refuse):
            self.broken.append(f"{act} ends with {ended.exit_code}: {ended.answer}")

    def _rival(self, act: Act) -> None:
        def overtake() -> None:
            self.bench.lease_runs_out()
            self._to_the_end(act)

        self._stopped(act, overtake)

    def _terminate(self, act: Act) -> None:
        self._stopped(act, lambda: self._end_sessions("osc:%"))

    def _apps(self, act: Act) -> None:
        command = self._command(act)
        self._end_sessions("app-%")
        command.wait(60)

    def _end_sessions(self, name: str) -> None:
        self.bench.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                      f" AND application_name LIKE '{name}'")  # fmt: skip

    def _pause(self, act: Act) -> None:
        command = self._command(act, f"{act.point}=stop@{act.passage}")
        if self.bench.stands_still(command):
            asyncio.run(self.bench.pause("*"))
            command.go_on()
            time.sleep(0.05)
            asyncio.run(self.bench.resume("*"))
        command.wait(60)

    def _hold(self, act: Act) -> None:
        # SKIP LOCKED: the rows that nobody else has at the moment.
        with self.bench.holding("SELECT FROM t FOR UPDATE SKIP LOCKED"):
            command = self._command(act)
            time.sleep(0.1)
        command.wait(60)
