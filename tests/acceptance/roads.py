"""Whole runs over a line that loses something: there and back, what they commit on the way, and what they come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psycopg

from osc.errors import Unreachable
from osc.executor.explaining import mends_itself
from osc.pg.embedded import EmbeddedServer
from osc.pg.target import Target
from osc.program import Phase
from osc.settings import Settings
from osc.verbs.apply import apply
from osc.verbs.rollback import rollback
from osc.verbs.session import Session
from tests.acceptance.bench import ID, Bench
from tests.fixtures.postgres import Databases
from tests.pg.line import Exchange, Fault, Line, commits

Way = Literal["forward", "back"]
RUNS_MAX = 4
BY_THE_CLOCK = ("osc.heartbeat", "UPDATE osc.step AS s SET waiting")
"""How often these come is a matter of time, so the n-th of them is no place in a run."""
CONCURRENT = ("CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY", "VALIDATE CONSTRAINT", "ANALYZE")
"""What runs outside of a transaction: no row is written with it."""


@dataclass(frozen=True)
class End:
    """What two runs must agree on, and what the way of an undisturbed one was."""

    end: Any
    leftovers: Any
    seen: Counter[str]
    commits: list[Exchange]

    def concurrent(self) -> list[Exchange]:
        """Return the statements outside of a transaction."""
        return [one for one in self.commits if any(word in one.text for word in CONCURRENT)]


@dataclass
class Roads:
    """Runs on databases of their own, each over a line of its own."""

    server: EmbeddedServer
    databases: Databases
    place: Path
    dump: Callable[[str], str]
    settings: Settings
    known: dict[Way, End] = field(default_factory=dict)
    runs: int = 0

    async def undisturbed(self, way: Way) -> End:
        """Return the end of a run that lost nothing."""
        if way not in self.known:
            with self.bench() as bench:
                self.known[way] = await self.run(bench, way, None)
        return self.known[way]

    async def disturbed(self, way: Way, fault: Fault, **settings: Any) -> tuple[End, Bench]:
        """Return the end of a run with ``fault``, begun again where it ended with an error."""
        with self.bench() as bench:
            bench.settings = replace(bench.settings, **settings)
            return await self.run(bench, way, fault), bench

    async def run(self, bench: Bench, way: Way, fault: Fault | None) -> End:
        if way == "back":
            await bench.apply(Phase.SWITCH)
        async with Line(self.by_tcp(bench.dsn), fault) as line:
            session = Session(Target.resolve(line.dsn), settings=bench.settings, who="test")
            for left in reversed(range(RUNS_MAX)):
                try:
                    await (apply(session, bench.plan, to=Phase.CONTRACT) if way == "forward" else rollback(session, ID))
                    break
                except (psycopg.Error, Unreachable) as error:
                    if not left or not mends_itself(error):
                        raise
        places = [one for one in line.texts if commits(one.text) and not any(word in one.text for word in BY_THE_CLOCK)]
        assert (
            bench.value("SELECT count(*) FROM osc.backend AS b JOIN pg_stat_activity AS a USING (pid, backend_start)")
            == 0
        )
        return End(
            bench.end(),
            bench.leftovers(),
            line.seen,
            [one for one in places if "TEMPORARY" not in one.text and "pg_temp" not in one.text],
        )

    @contextmanager
    def bench(self) -> Iterator[Bench]:
        """Give a bench on an empty database."""
        name = self.databases.take(self.server)
        self.runs += 1
        place = self.place / f"run-{self.runs}"
        place.mkdir()
        bench = Bench(self.server.dsn(name), place, self.dump, settings=self.settings).fill_table()
        try:
            yield bench
        finally:
            bench.close()
            self.databases.give_back(self.server, name)

    def by_tcp(self, dsn: str) -> str:
        return psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1")


def exactly(place: Exchange) -> Callable[[Exchange], bool]:
    """Return what picks this place in another run: the same words for the same time."""
    return lambda one: one.words == place.words and one.number == place.number
