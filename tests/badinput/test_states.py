"""Bad input B64: every verb of the command line in every state; what it may do stands in `states.md`, to be read as a review.

Each state is built once on a database of its own, by real commands that are killed where a state is one of passage; each
verb then meets a copy of it. OSC_TEST_SWEEP=1 walks all of the table, otherwise one state that turns with the day.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from osc.state.transitions import State
from tests.acceptance.bench import ID, Bench
from tests.badinput.conftest import Watched, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from osc.pg.embedded import EmbeddedServer
    from tests.cli.conftest import Osc

SNAPSHOT = Path(__file__).with_name("states.md")
VERBS: dict[str, tuple[str, ...]] = {
    "status": ("status", ID),
    "history": ("history", ID),
    "wait": ("wait", ID, "switch", "--timeout", "10ms"),
    "lint": ("lint", "PLAN"),
    "explain": ("explain", "PLAN"),
    "verify": ("verify", ID),
    "ack": ("ack", ID, "nobody"),
    "set": ("set", ID, "speed=50%"),
    "pause": ("pause", ID),
    "resume": ("resume", ID),
    "resolve": ("resolve", ID, "no_such_step", "--happened", "--reason", "looked"),
    "apply --detach": ("apply", "PLAN", "--detach"),
    "apply --to expand": ("apply", "PLAN", "--to", "expand"),
    "advance --to expand": ("advance", ID, "--to", "expand"),
    "advance --to contract": ("advance", ID, "--to", "contract"),
    "rollback --to backfill": ("rollback", ID, "--to", "backfill"),
    "rollback": ("rollback", ID),
}
READING = {"status", "history", "wait", "lint", "explain"}
UNTIL = {
    State.EXPANDED: "expand", State.DUAL_WRITE: "dual_write", State.BACKFILLED: "backfill", State.SWITCHED: "switch",
    State.DONE: "contract",
}  # fmt: skip
BETWEEN = {
    State.EXPANDING: State.REGISTERED, State.ENTERING_DUAL_WRITE: State.EXPANDED, State.BACKFILLING: State.DUAL_WRITE,
    State.SWITCHING: State.BACKFILLED, State.RETIRING: State.SWITCHED,
}  # fmt: skip
TO = {
    State.EXPANDING: "expand", State.ENTERING_DUAL_WRITE: "dual_write", State.BACKFILLING: "backfill",
    State.SWITCHING: "switch", State.RETIRING: "contract", State.RETIRED: "contract", State.DROPPING: "contract",
}  # fmt: skip
STATES = tuple(State)


def bring(bench: Bench, state: State) -> None:
    """Bring the change of ``bench`` to ``state`` by real commands."""
    if state is State.REGISTERED:
        assert bench.run("apply", detach=True).exit_code == 0
    elif state in UNTIL:
        assert bench.run("apply", to=UNTIL[state]).exit_code == 0
    elif state in (State.ROLLING_BACK, State.ROLLED_BACK):
        bring(bench, State.BACKFILLED)
        if state is State.ROLLED_BACK:
            assert bench.run("rollback").exit_code == 0
        else:
            assert bench.killed("rollback", "state.after=kill9")
    else:
        before = BETWEEN.get(state, State.SWITCHED)
        bring(bench, before)
        passage = {State.RETIRED: 2, State.DROPPING: 3}.get(state, 1)
        assert bench.killed("apply", f"state.after=kill9@{passage}", to=TO[state])
    assert bench.state == state


def documented() -> dict[tuple[str, str], str]:
    """Return the table of the snapshot: what each verb comes to in each state."""
    head, _, *rows = [line for line in SNAPSHOT.read_text().splitlines() if line.startswith("|")]
    verbs = [cell.strip().strip("`") for cell in head.strip("|").split("|")][1:]
    return {
        (name, verb): cell
        for name, *cells in ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
        for verb, cell in zip(verbs, cells, strict=True)
    }


def walk(server: EmbeddedServer, osc: Watched, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Run every verb, each on a copy of the bench's database, and return what it came to."""
    origin, came_to = bench.value("SELECT current_database()"), {}
    before_state = bench.state
    before = fingerprint(bench.dsn)
    for name, arguments in VERBS.items():
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (origin,))
            conn.execute(f"CREATE DATABASE states_copy TEMPLATE {origin}")
            # Of a copy osc rightly says that it is one; here it stands for the original.
            try:
                dsn = server.dsn("states_copy")
                as_original(dsn)
                monkeypatch.setenv("OSC_DATABASE_URL", dsn)
                expected = fingerprint(dsn)
                done = osc(*(str(bench.plan) if one == "PLAN" else one for one in arguments))
                after = fingerprint(dsn)
                with psycopg.connect(dsn) as look:
                    row = look.execute("SELECT state FROM osc.change ORDER BY change DESC LIMIT 1").fetchone()
                came_to[name] = effect(done.code, before_state, row, expected == after)
                assert done.code in (0, 2, 3, 4, 5, 75), (before_state, name, done)
                assert done.code not in (2, 4, 5) or expected == after, (name, done)
                assert name not in READING or expected == after, (before_state, name)
            finally:
                conn.execute("DROP DATABASE states_copy WITH (FORCE)")
    assert fingerprint(bench.dsn) == before
    return came_to


def as_original(dsn: str) -> None:
    """Let the state in the copy believe that this is its database."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        columns = [row[0] for row in conn.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'osc.meta'::regclass AND attnum > 0 AND NOT attisdropped")]  # fmt: skip
        if "database_oid" in columns:
            conn.execute(
                "UPDATE osc.meta SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )


def effect(code: int, before: str, row: Any, same: bool) -> str:
    """Return the cell of the table: the exit status, and where the change went."""
    moved = f" → {row[0]}" if row[0] != before else "" if same else " noted"
    return f"{code}{moved}"


def sample() -> tuple[State, ...]:
    """Return every state for writing the table, those it holds for the sweep, else one of them that turns with the day."""
    if os.environ.get("OSC_WRITE_STATES"):
        return STATES
    held = tuple(dict.fromkeys(State(state) for state, _ in documented()))
    if os.environ.get("OSC_TEST_SWEEP"):
        return held
    return (held[datetime.date.today().toordinal() % len(held)],)


@pytest.mark.parametrize("state", sample())
def test_every_verb_in_every_state(
    server: EmbeddedServer, dsn: str, tmp_path: Path, schema_dump: Callable[[str], str], offline: Osc,
    monkeypatch: pytest.MonkeyPatch, state: State,
) -> None:  # fmt: skip
    bench = Bench(dsn, tmp_path, schema_dump).fill_table(20)
    bring(bench, state)
    came_to = walk(server, Watched(offline), bench, monkeypatch)
    if os.environ.get("OSC_WRITE_STATES"):
        with Path(os.environ["OSC_WRITE_STATES"]).open("a") as file:
            file.write(f"| {state} | " + " | ".join(came_to.values()) + " |\n")
        return
    table = documented()
    assert came_to == {verb: table[state, verb] for verb in VERBS}
