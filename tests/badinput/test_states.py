"""Bad input B64 and fault F95: every verb of the command line in every situation; what it may do stands in `states.md`.

That table is to be read as a review. Each situation is built once, on a database of its own; each verb meets a copy of it, the same
one for as long as verbs change nothing. OSC_TEST_SWEEP=1 walks all of the table, otherwise one situation that turns with the day.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from osc.state.transitions import State, allowed_verbs
from tests.acceptance.bench import ID, Bench
from tests.badinput.conftest import Watched, fingerprint
from tests.badinput.situations import BESIDES, HELD, SITUATIONS, bring
from tests.fixtures.sweeping import daily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osc.pg.embedded import EmbeddedServer
    from tests.cli.conftest import Done, Osc

SNAPSHOT = Path(__file__).with_name("states.md")
VERBS: dict[str, tuple[str, ...]] = {
    "status": ("status", ID),
    "history": ("history", ID),
    "wait": ("wait", ID, "switch", "--timeout", "10ms"),
    "lint": ("lint", "PLAN"),
    "explain": ("explain", "PLAN"),
    "adopt": ("adopt", "--reason", "looked"),
    "ack (no gate)": ("ack", ID, "nobody"),
    "ack": ("ack", ID, "gone"),
    "ack --revoke": ("ack", ID, "gone", "--revoke"),
    "resolve": ("resolve", ID, "STEP", "--did-not", "--reason", "looked"),
    "resume": ("resume", ID),
    "pause": ("pause", ID),
    "set": ("set", ID, "speed=50%"),
    "verify": ("verify", ID, "MOVING"),
    "worker --once": ("worker", "--once"),
    "apply edited": ("apply", "EDITED", "MOVING"),
    "apply --detach": ("apply", "PLAN", "--detach"),
    "apply --to expand": ("apply", "PLAN", "--to", "expand", "MOVING"),
    "apply --accept-drift": ("apply", "PLAN", "--accept-drift", "--to", "expand", "MOVING"),
    "advance": ("advance", ID, "MOVING"),
    "advance --to expand": ("advance", ID, "--to", "expand", "MOVING"),
    "advance --to contract": ("advance", ID, "--to", "contract", "MOVING"),
    "rollback --to contract": ("rollback", ID, "--to", "contract", "MOVING"),
    "rollback --to backfill": ("rollback", ID, "--to", "backfill", "MOVING"),
    "rollback": ("rollback", ID, "MOVING"),
}
READING = {"status", "history", "wait", "lint", "explain"}
NOTHING_CHANGED = (2, 5)
"""What a usage error and a conflict promise; all others that are not 0 may leave a word in osc's own tables."""
STATUSES = (0, 1, 2, 3, 4, 5, 6, 75)


@dataclass
class Copies:
    """Copies of one database under one name, which stands for the original."""

    server: EmbeddedServer
    origin: str
    name: str = "states_copy"

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    def make(self) -> dict[str, str]:
        """Replace the copy by a new one and return its fingerprint."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self.origin,))
            conn.execute(f"CREATE DATABASE {self.name} TEMPLATE {self.origin}")
        with psycopg.connect(self.dsn, autocommit=True) as conn:  # of a copy osc rightly says that it is one
            conn.execute(
                "UPDATE osc.meta SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        return fingerprint(self.dsn)

    def state(self) -> str:
        with psycopg.connect(self.dsn) as conn:
            row = conn.execute("SELECT state FROM osc.change ORDER BY change DESC LIMIT 1").fetchone()
        assert row is not None
        return str(row[0])


@contextmanager
def copies(server: EmbeddedServer, origin: str) -> Iterator[Copies]:
    """Give copies of a database, and take the last one away."""
    made = Copies(server, origin)
    try:
        yield made
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            conn.execute(f"DROP DATABASE IF EXISTS {made.name} WITH (FORCE)")


def call(bench: Bench, verb: str, situation: str) -> list[str]:
    """Return the words of a call of ``verb``."""
    step = bench.value("SELECT step FROM osc.step ORDER BY state = 'ambiguous' DESC, change DESC, ordinal LIMIT 1")
    edited = bench.place / "edited" / bench.plan.name
    edited.parent.mkdir(exist_ok=True)
    edited.write_text(bench.plan_text.replace("items_by_quantity", "items_by_another_name"))
    words = {"PLAN": [str(bench.plan)], "EDITED": [str(edited)], "STEP": [str(step)],
             "MOVING": ["--timeout", "1s" if situation in HELD else "60s"]}  # fmt: skip
    return [word for one in VERBS[verb] for word in words.get(one, [one])]


def walk(osc: Watched, bench: Bench, copies: Copies, situation: str) -> dict[str, str]:
    """Run every verb and return what it came to."""
    came_to: dict[str, str] = {}
    untouched, before, was = fingerprint(bench.dsn), copies.make(), bench.state
    for verb in VERBS:
        done = osc(*call(bench, verb, situation))
        after = fingerprint(copies.dsn)
        came_to[verb] = effect(done, was, copies.state(), before, after)
        hold(verb, done, same=before == after)
        if before != after:
            before = copies.make()
    assert fingerprint(bench.dsn) == untouched
    return came_to


def hold(verb: str, done: Done, *, same: bool) -> None:
    """Hold a verb to what every verb promises, whatever stands in the table."""
    assert done.code in STATUSES, (verb, done)
    assert same or done.code not in NOTHING_CHANGED, (verb, done)
    assert same or verb not in READING, (verb, done)
    assert done.code in (0, 75) or "OSC-" in done.err + done.out, (verb, done)


def effect(done: Done, was: str, state: str, before: dict[str, str], after: dict[str, str]) -> str:
    """Return the cell of the table: the exit status, and what has changed."""
    if state != was:
        return f"{done.code} → {state}"
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if not changed:
        return f"{done.code}"
    return f"{done.code} noted" if all(name.startswith("osc.") for name in changed) else f"{done.code} worked"


def documented() -> dict[str, dict[str, str]]:
    """Return the table of the snapshot: by situation, what each verb comes to."""
    head, _, *rows = [line for line in SNAPSHOT.read_text().splitlines() if line.startswith("|")]
    names = [cell.strip().strip("`") for cell in head.strip("|").split("|")][1:]
    table: dict[str, dict[str, str]] = {name: {} for name in names}
    for verb, *cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows):
        for name, cell in zip(names, cells, strict=True):
            table[name][verb.strip("`")] = cell
    return table


@pytest.mark.parametrize(
    "situation", SITUATIONS if "OSC_WRITE_STATES" in os.environ else daily(SITUATIONS, len(SITUATIONS))
)
def test_every_verb_in_every_situation(
    server: EmbeddedServer, dsn: str, tmp_path: Path, schema_dump: Callable[[str], str], offline: Osc,
    monkeypatch: pytest.MonkeyPatch, situation: str,
) -> None:  # fmt: skip
    bench = Bench(dsn, tmp_path, schema_dump).fill_table(20)
    bring(bench, situation)
    with copies(server, bench.value("SELECT current_database()")) as made:
        monkeypatch.setenv("OSC_DATABASE_URL", made.dsn)
        came_to = walk(Watched(offline), bench, made, situation)
    if "OSC_WRITE_STATES" in os.environ:
        write(Path(os.environ["OSC_WRITE_STATES"]), situation, came_to)
    else:
        assert came_to == documented()[situation]


def write(path: Path, situation: str, came_to: dict[str, str]) -> None:
    """Add a column to the table in ``path``."""
    lines = (
        path.read_text().splitlines() if path.exists() else ["| verb |", "|---|", *(f"| `{verb}` |" for verb in VERBS)]
    )
    cells = [situation, "---", *came_to.values()]
    rows = [f"{line}---|" if cell == "---" else f"{line} {cell} |" for line, cell in zip(lines, cells, strict=True)]
    path.write_text("\n".join(rows) + "\n")


def test_the_table_has_every_verb_in_every_situation() -> None:
    assert {name: set(column) for name, column in documented().items()} == {name: set(VERBS) for name in SITUATIONS}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_table_agrees_with_what_is_said_to_be_allowed(situation: str) -> None:
    """What the hints of a state do not name is a conflict or nothing at all; what they name is not refused for the state."""
    state = BESIDES.get(situation) or State(situation)
    column = documented()[situation]
    for verb in ("advance --to contract", "rollback", "set", "verify"):
        named, said = verb.split()[0] in allowed_verbs(state), column[verb]
        assert named or said in ("0", "5"), (situation, verb, said)
