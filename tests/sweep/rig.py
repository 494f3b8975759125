"""The sweep: one run of one archetype with one fault at one place, brought to its end, and what that end must be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from osc.failpoints import EVERY
from osc.pg.embedded import EmbeddedServer
from osc.verbs.resolve import resolve
from tests.acceptance.bench import ID, KILLED, Bench
from tests.acceptance.processes import Command, Ended, quick
from tests.fixtures.postgres import Databases
from tests.sweep.archetypes import ARCHETYPES, Archetype
from tests.sweep.line import InThread, LosingLine

FAULTS = ("kill9", "rival", "terminate", "lost_reply", "memory")
RESTS = {"back": "switch", "back_from_dual_write": "dual_write", "back_from_backfill": "backfill"}
"""Where a way back begins."""
DIRECTIONS = ("forward", *RESTS, "turn")
"""To the end of contract; from a phase back to the beginning; forward, and back from where the fault was."""
DONE, LEASE_LOST, UNREACHABLE, BUG, AMBIGUOUS = 0, 75, 1, 1, 6
RESOLVED_MAX = 3
"""How often a run may ask: the statement forward, its undo, and one of them once more after a second fault."""
BEFORE_LEADING = ("migrate", "register", "target", "lease")
"""Points that are passed before a process leads for the first time."""
Place = tuple[str, int]
"""A failpoint, and which passage of it."""


@dataclass
class Undisturbed:
    """What a run without faults comes to, and the places it passes."""

    end: Any
    places: list[Place]


@dataclass
class Sweep:
    """Runs on one server, each on an empty database."""

    server: EmbeddedServer
    databases: Databases
    place: Path
    dump: Callable[[str], str]
    known: dict[tuple[str, str], Undisturbed] = field(default_factory=dict)
    runs: int = 0

    def undisturbed(self, name: str, direction: str) -> Undisturbed:
        """Return how ``name`` ends without faults; looked at once."""
        if (name, direction) not in self.known:
            with _Run(self, ARCHETYPES[name]) as run:
                command = run.begin(direction)
                ended = command.wait(60)
                assert ended.exit_code == DONE, ended
                run.must_be_as_before(direction)
                hits = sorted(command.hits().items())
                places = [(point, n) for point, passages in hits for n in range(1, passages + 1)]
                self.known[name, direction] = Undisturbed(run.bench.end(), places)
        return self.known[name, direction]

    def places(self, name: str, direction: str) -> list[Place]:
        """Return every place that a run of ``name`` in ``direction`` passes."""
        return self.undisturbed(name, "forward" if direction == "turn" else direction).places

    def fault(
        self, name: str, direction: str, fault: str, place: Place, second: tuple[str, Place] | None = None
    ) -> None:
        """Run ``name`` with ``fault`` at ``place``, bring it to its end, and compare that with an undisturbed run (I16).

        A ``second`` fault meets the command that goes on after the first.
        """
        self.runs += 1
        with _Run(self, ARCHETYPES[name]) as run:
            getattr(run, fault)(direction, place)
            if second is not None and run.can_go_on(direction):
                getattr(run, second[0])(direction, second[1])
            run.go_to_the_end(direction)
            if direction == "forward":
                assert run.bench.end() == self.undisturbed(name, direction).end
            run.must_be_as_before(direction)
            assert run.bench.leftovers() == []
            remains = run.bench.remains() if run.is_over() else []
            assert remains == [], f"left behind: {remains}"


class _Run:
    """One database with the archetype's tables, and the command that meets the fault."""

    def __init__(self, sweep: Sweep, archetype: Archetype) -> None:
        self.sweep, self.archetype, self.stack = sweep, archetype, ExitStack()
        self.begun = False

    def __enter__(self) -> _Run:
        name = self.sweep.databases.take(self.sweep.server)
        place = self.sweep.place / name / str(self.sweep.runs)
        place.mkdir(parents=True)
        told = quick(self.archetype.plan, lanes_max=1)
        self.bench = Bench(self.sweep.server.dsn(name), place, self.sweep.dump, self.archetype.plan, settings=told)
        self.stack.callback(self.sweep.databases.give_back, self.sweep.server, name)
        self.stack.callback(self.bench.close)
        self.bench.do(*self.archetype.tables.split(";"))
        self.before = (self.bench.schema, self.bench.data)
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    # ----------------------------------------------------------------------------------- the command

    def begin(self, direction: str, failpoints: str = "", *, dsn: str | None = None) -> Command:
        """Bring the change to where ``direction`` begins and start the command; ``turn`` begins as ``forward``."""
        verb, to = self._again(direction) if self.begun else self._prepared(direction)
        self.begun = True
        if dsn is not None:
            self.bench.dsn, direct = dsn, self.bench.dsn
            try:
                return self.bench.command(verb, failpoints, to=to or None)
            finally:
                self.bench.dsn = direct
        return self.bench.command(verb, failpoints, to=to or None)

    def _prepared(self, direction: str) -> tuple[str, str]:
        """Bring the change to where the direction begins; return the verb and target that meet the first fault."""
        back = RESTS.get(direction)
        if self.archetype.acks or back:
            first = back if back and not self.archetype.acks else "dual_write"
            assert self.bench.run("apply", to=first).exit_code == DONE
            self._acknowledge()
        if back:
            if self.archetype.acks and back != "dual_write":
                assert self.bench.run("advance", to=back).exit_code == DONE
            return "rollback", ""
        return "advance" if self.archetype.acks else "apply", "switch" if direction == "turn" else "contract"

    def _again(self, direction: str) -> tuple[str, str]:
        return ("apply", "contract") if direction == "forward" else ("rollback", "")

    def can_go_on(self, direction: str) -> bool:
        """Tell whether there is something that the next command could still do."""
        return direction == "forward" or self._registered()

    def is_over(self) -> bool:
        """Tell whether the change came to one of its ends."""
        return self._registered() and self.bench.state in ("done", "rolled_back")

    def _acknowledge(self) -> None:
        for gate in self.archetype.acks:
            self.bench.run("ack", gate=gate)

    def go_to_the_end(self, direction: str) -> None:
        """Run what a person or a pipeline would: the same command again, until it is done."""
        for _ in range(RESOLVED_MAX):
            if direction == "forward":
                ended = self.bench.run("apply", to="contract")
            else:
                ended = self.bench.run("rollback") if self._registered() else Ended(DONE, None)
            if ended.exit_code != AMBIGUOUS or not self.archetype.outside:
                break
            self._resolve()
        assert ended.exit_code == DONE, ended
        if self.archetype.outside:
            times = 1 if direction == "forward" else 0
            assert self.bench.value(self.archetype.outside) == times, (
                "a statement outside of a transaction was repeated"
            )

    def _resolve(self) -> None:
        """Do what a person does: look, and say what was seen."""
        step, was = next(iter(self.bench.look("SELECT step, was FROM osc.step WHERE state = 'ambiguous'")))
        there = self.bench.value(self.archetype.outside) == 1
        happened = there if was == "started" else not there
        asyncio.run(resolve(self.bench.session(), ID, str(step), happened=happened, reason="looked"))

    @property
    def _asks(self) -> tuple[int, ...]:
        """The exit status that a plan with such a statement may have besides."""
        return (AMBIGUOUS,) if self.archetype.outside else ()

    def _registered(self) -> bool:
        return bool(
            self.bench.value("SELECT to_regclass('osc.change') IS NOT NULL")
            and self.bench.value("SELECT count(*) FROM osc.change")
        )

    def must_be_as_before(self, direction: str) -> None:
        """After a way back the schema and the data are as they were (I21)."""
        if direction != "forward" and (direction in RESTS or self._rolled_back()):
            assert (self.bench.schema, self.bench.data) == self.before

    def _rolled_back(self) -> bool:
        return self._registered() and self.bench.state == "rolled_back"

    # ------------------------------------------------------------------------------------ the faults

    def kill9(self, direction: str, place: Place) -> None:
        """The process is gone at this instant."""
        ended = self.begin(direction, _armed(place, "kill9")).wait(60)
        assert ended.exit_code in (KILLED, DONE, *self._asks), ended
        self.bench.lease_runs_out()

    def rival(self, direction: str, place: Place) -> None:
        """The process stands still, its lease runs out, another does all the work; then it wakes up (F05, I19)."""
        zombie = self.begin(direction, _armed(place, "stop"))
        if not self.bench.stands_still(zombie):
            return
        self.bench.lease_runs_out()
        self.go_to_the_end(direction)
        led = place[0].partition(".")[0] not in (*BEFORE_LEADING, EVERY)
        mark = self._everything() if led else self.bench.rows_and_catalog()  # the schema osc may not be there before
        zombie.go_on()
        ended = zombie.wait(60)
        assert ended.exit_code in (LEASE_LOST, DONE, 5, *self._asks), ended
        if led:
            assert self._everything() == mark, "the zombie wrote"
        else:
            # It leads for the first time now, which is written down, and finds nothing to do; unless what it had not yet
            # registered was nothing to roll back, so that its word is the last.
            if direction == "turn" and ended.exit_code == DONE:
                return self.go_to_the_end(direction)
            assert self.bench.rows_and_catalog() == mark, "a latecomer did something again"
        return None

    def memory(self, direction: str, place: Place) -> None:
        """The process has no memory left (F07)."""
        ended = self.begin(direction, _armed(place, "memory")).wait(60)
        assert ended.exit_code in (DONE, BUG, *self._asks), ended

    def terminate(self, direction: str, place: Place) -> None:
        """Every session of the process is ended by the server at this instant (57P01, F16)."""
        command = self.begin(direction, _armed(place, "stop"))
        if self.bench.stands_still(command):
            self.bench.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'osc:%'"
                          " AND datname = current_database()")  # fmt: skip
            command.go_on()
        ended = command.wait(60)
        assert ended.exit_code in (DONE, UNREACHABLE, LEASE_LOST, *self._asks), ended

    def lost_reply(self, direction: str, place: Place) -> None:
        """What is asked next is done by the server, and its reply does not arrive (F20, F21)."""
        direct = psycopg.conninfo.make_conninfo(self.bench.dsn, host="127.0.0.1")
        with InThread(LosingLine(direct)) as beside:
            command = self.begin(direction, _armed(place, "stop"), dsn=beside.line.dsn)
            if self.bench.stands_still(command):
                beside.line.lose_next()
                command.go_on()
            ended = command.wait(60)
        assert ended.exit_code in (DONE, UNREACHABLE, LEASE_LOST, *self._asks), ended

    def _everything(self) -> list[Any]:
        return [*self.bench.fingerprint(), self.bench.schema]


def _armed(place: Place, action: str) -> str:
    return f"{place[0]}={action}@{place[1]}"
