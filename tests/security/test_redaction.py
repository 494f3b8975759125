"""--redact: no key and no value of a row is told, in no form, whoever wrote it down; without it keys are what is named."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from osc.errors import Finding, Refused
from osc.pg.outcome import quoted_of
from osc.redaction import quoted_keys, quoted_values, redacted, statement
from osc.verbs.recalled import recalled
from tests.cli.conftest import spawn
from tests.fixtures.postgres import Connect

CANARY = "c4nary@example.org"
KEPT_KEYS = ("osc.poison", "osc.verification", "osc.slice", "osc.skipped", "osc.kept")
"""Where keys are needed: to find the rows again, and to go on behind them."""
PLAN = """\
osc: 1
operations:
  - change_column: {table: people, column: v, to: n, type: integer, up: "v::integer", down: "n::text"}
"""
UNIQUE = """\
osc: 1
operations:
  - create_index: {table: people, name: people_alias, columns: [alias], unique: true}
backfill: {require: [{ack: writers-comply}]}
"""


@dataclass
class People:
    """A table whose key is personal data, and a change of it."""

    dsn: str
    conn: psycopg.Connection[Any]
    plan: Path

    def osc(self, *arguments: str, redact: bool = True) -> Any:
        """Run a command in a process of its own."""
        asked = {"OSC_REDACT": "1"} if redact else {}
        return spawn(*arguments, env={"OSC_DATABASE_URL": self.dsn, **asked})

    def told(self, *arguments: str, redact: bool = True) -> str:
        """Return everything a command prints."""
        done = self.osc(*arguments, redact=redact)
        return done.stdout + done.stderr

    def written(self) -> str:
        """Return what the state holds, but for the places that need keys."""
        tables = self.conn.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = to_regnamespace('osc')::oid AND relkind = 'r'"
        ).fetchall()
        rows = [
            self.conn.execute(f"SELECT t::text FROM {table} AS t".encode()).fetchall()
            for (table,) in tables
            if table not in KEPT_KEYS
        ]
        return json.dumps(rows)

    def fill(self) -> None:
        """Bring the change behind its backfill, every row in step."""
        assert self.osc("apply", str(self.plan)).returncode == 0

    def put_out_of_step(self, key: str = CANARY) -> None:
        """Write behind the trigger's back."""
        self.conn.execute("ALTER TABLE people DISABLE TRIGGER USER")
        self.conn.execute("UPDATE people SET n = n + 1 WHERE email = %s", (key,))
        self.conn.execute("ALTER TABLE people ENABLE ALWAYS TRIGGER " + self.trigger().decode())  # type: ignore[arg-type]

    def trigger(self) -> bytes:
        found = self.conn.execute(
            "SELECT quote_ident(tgname) FROM pg_trigger WHERE tgrelid = 'people'::regclass AND NOT tgisinternal"
        ).fetchone()
        assert found is not None
        return str(found[0]).encode()


@pytest.fixture
def people(dsn: str, connect: Connect, tmp_path: Path) -> People:
    conn = connect()
    conn.execute("CREATE TABLE people (email text PRIMARY KEY, v text, alias text)")
    conn.execute(
        "INSERT INTO people SELECT 'p' || n || '@example.org', n::text, 'a' || n FROM generate_series(1, 50) AS n"
    )
    conn.execute("INSERT INTO people VALUES (%s, '7', 'x')", (CANARY,))
    plan = tmp_path / "00001_numbers.yaml"
    plan.write_text(PLAN)
    return People(dsn, conn, plan)


def test_rows_that_cannot_be_filled(people: People) -> None:
    people.conn.execute("UPDATE people SET v = 'seven' WHERE email = %s", (CANARY,))
    first = people.told("apply", str(people.plan))
    assert "1 rows of public.people cannot be filled, all others are: (key 1, redacted) [22P02]" in first
    ident = people.plan.stem
    commands = (
        ["status"], ["status", ident], ["status", ident, "--json"], ["history", ident], ["history", ident, "--json"],
        ["wait", ident, "backfill"], ["wait", ident, "backfill", "--json"], ["advance", ident, "--json"],
        ["advance", ident, "--verbose"], ["worker", "--once"], ["rollback", ident],
    )  # fmt: skip
    said = [first, *(people.told(*command) for command in commands), people.written()]
    assert [text for text in said if CANARY in text] == []
    assert "(key 1, redacted) [22P02]" in said[1]


def test_what_others_wrote_down_is_not_told_either(people: People) -> None:
    people.conn.execute("UPDATE people SET v = 'seven' WHERE email = %s", (CANARY,))
    assert f"({CANARY})" in people.told("apply", str(people.plan), redact=False)
    assert CANARY in people.written()
    ident = people.plan.stem
    for command in (["status", ident], ["history", ident], ["wait", ident, "backfill"]):
        for form in ([], ["--json"]):
            assert CANARY in people.told(*command, *form, redact=False), command
            shown = people.told(*command, *form)
            assert CANARY not in shown, command
            assert "redacted" in shown, command


def test_rows_out_of_step(people: People) -> None:
    people.fill()
    people.put_out_of_step()
    ident = people.plan.stem
    shown = people.osc("verify", ident, "--redact", redact=False)
    assert shown.returncode == 3
    assert "1 of 51 rows of public.people are not in step (1 key redacted)" in shown.stderr
    document = json.loads(people.osc("verify", ident, "--json").stdout)["error"]
    assert document["facts"]["keys"] == [["key 1 of 1, redacted"]]
    assert "quoted" not in document
    assert CANARY not in json.dumps(document)
    assert people.conn.execute("SELECT DISTINCT sample FROM osc.verification WHERE mismatches > 0").fetchall() == [
        ([[CANARY]],)
    ]
    assert CANARY not in people.told("advance", ident, "--to", "switch")
    assert CANARY not in people.written()
    assert f"not in step: ({CANARY})" in people.told("verify", ident, redact=False)


def test_values_that_a_unique_index_does_not_allow(people: People) -> None:
    people.conn.execute("UPDATE people SET alias = %s WHERE v IN ('1', '2')", (CANARY,))
    plan = people.plan.with_name("00002_unique.yaml")
    plan.write_text(UNIQUE)
    for command in (["lint", str(plan)], ["lint", str(plan), "--json"], ["apply", str(plan)]):
        assert CANARY in people.told(*command, redact=False), command
        shown = people.told(*command)
        assert CANARY not in shown, command
        assert "(1 key redacted)" in shown, command


def test_values_that_a_build_finds(people: People) -> None:
    """Equal rows that came after the plan was looked at: the server names them in its detail."""
    plan = people.plan.with_name("00002_unique.yaml")
    plan.write_text(UNIQUE)
    assert people.osc("apply", str(plan), "--detach").returncode == 0
    assert people.osc("ack", plan.stem, "writers-comply").returncode == 0
    people.conn.execute("UPDATE people SET alias = %s WHERE v IN ('1', '2')", (CANARY,))
    shown = people.told("advance", plan.stem, "--verbose")
    assert "people_alias cannot be unique: two rows are equal" in shown
    assert CANARY not in shown + people.told("status", plan.stem, "--json") + people.written()
    assert CANARY in people.told("advance", plan.stem, redact=False)


def test_rows_that_a_constraint_does_not_allow(people: People) -> None:
    plan = people.plan.with_name("00002_checked.yaml")
    plan.write_text(UNIQUE.replace(UNIQUE.splitlines()[2], "  - set_not_null: {table: people, column: alias}"))
    assert people.osc("apply", str(plan), "--detach").returncode == 0
    assert people.osc("ack", plan.stem, "writers-comply").returncode == 0
    people.conn.execute("UPDATE people SET alias = NULL WHERE email = %s", (CANARY,))
    shown = people.told("advance", plan.stem) + people.told("status", plan.stem, "--json") + people.written()
    assert "redacted" in shown
    assert CANARY not in shown
    assert CANARY in people.told("advance", plan.stem, redact=False)


def test_what_a_function_of_the_application_says(people: People) -> None:
    people.conn.execute(
        "CREATE FUNCTION number(t text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        "IF t = '7' THEN RAISE EXCEPTION 'no number for c4nary@example.org' USING HINT = 'ask c4nary@example.org'; "
        "END IF; RETURN t::int; END $$"
    )
    people.conn.execute("DELETE FROM people WHERE email <> %s", (CANARY,))
    people.plan.write_text(PLAN.replace("v::integer", "public.number(v)"))
    assert people.osc("apply", str(people.plan), "--detach").returncode == 0
    by_worker = people.told("worker", "--once")
    shown = people.told("advance", people.plan.stem) + people.told("status", people.plan.stem, "--json") + by_worker
    assert "[P0001]" in by_worker
    assert CANARY not in shown + people.written()
    assert CANARY in people.told("advance", people.plan.stem, redact=False)


def test_the_statement_of_who_is_in_the_way(people: People) -> None:
    with psycopg.connect(people.dsn) as holder:
        holder.execute(f"SELECT '{CANARY}' FROM people")
        shown = people.told("apply", str(people.plan), "--timeout", "4s")
        assert "): SELECT … (redacted)" in shown
        assert CANARY not in shown + people.told("status", people.plan.stem, "--json") + people.written()
        assert CANARY in people.told("advance", people.plan.stem, "--timeout", "4s", redact=False)
        assert CANARY in people.told("status", people.plan.stem, redact=False)
        assert CANARY not in people.told("status", people.plan.stem)


def test_what_the_query_of_a_gate_stumbles_over(people: People) -> None:
    people.conn.execute(
        "CREATE FUNCTION ready() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'not c4nary@example.org'; END $$"
    )
    people.plan.write_text(PLAN + "switch: {require: [{sql: 'SELECT public.ready()'}]}\n")
    people.fill()
    shown = people.told("advance", people.plan.stem, "--to", "switch", "--json")
    assert "could not be asked: (redacted)" in shown
    assert CANARY not in shown + people.told("status", people.plan.stem, "--json") + people.written()
    assert CANARY in people.told("advance", people.plan.stem, redact=False)


RAISING = {
    "a value that cannot be read": f"SELECT '{CANARY}'::int",
    "a function": f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}'; END $$",
    "a function under a code of its own": f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}' USING ERRCODE = 'EM001'; END $$",
    "a function under the code of a check": f"DO $$ BEGIN RAISE '{CANARY}' USING ERRCODE = 'check_violation'; END $$",
    "a key that is there": f"CREATE TEMP TABLE u (a text UNIQUE); INSERT INTO u VALUES ('{CANARY}'), ('{CANARY}')",
}


@pytest.mark.parametrize("what", RAISING)
def test_words_of_the_server(connect: Connect, what: str) -> None:
    from osc.executor.explaining import explain

    with pytest.raises(psycopg.Error) as raised:
        connect().execute(RAISING[what].encode())
    told = explain("Fill", raised.value)
    assert CANARY not in json.dumps(told.redacted().as_json())
    assert told.redacted().exit_code == told.exit_code


def test_names_are_told_whatever_is_held_back(connect: Connect) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connect().execute("SELECT * FROM nowhere")
    assert quoted_of(raised.value) == []


def test_an_error_says_the_same_without_what_it_quotes() -> None:
    keys = quoted_keys([["7", "a"], ["8", "b"]])
    error = Refused(
        f"2 of 7 rows{keys.words}; look", hint=f"mend{keys.words}", findings=[Finding("X", f"rows{keys.words}", "so")],
        facts={"keys": [["7", "a"], ["8", "b"]], "rows": 7}, quoted=[keys],
    )  # fmt: skip
    told = error.redacted()
    assert (told.message, told.hint) == ("2 of 7 rows (2 keys redacted); look", "mend (2 keys redacted)")
    assert told.findings == (Finding("X", "rows (2 keys redacted)", "so"),)
    assert told.facts == {"keys": [["key 1 of 2, redacted"], ["key 2 of 2, redacted"]], "rows": 7}
    assert redacted(error.as_kept()) == told.as_kept() == told.as_json()
    assert error.message == "2 of 7 rows: (7, a); (8, b); look"


def test_an_error_that_the_state_remembers_knows_what_it_quotes() -> None:
    """As who follows another executor raises it."""
    keys = quoted_keys([["7"]])
    error = Refused(f"1 of 7 rows{keys.words}", facts={"keys": [["7"]]}, quoted=[keys])
    assert recalled(error.as_kept()).redacted().as_json() == error.redacted().as_json()


def test_the_longest_of_what_is_quoted_goes_first() -> None:
    short, long = quoted_values(["a"]), quoted_values(["a", "b"])
    error = Refused(f"rows{long.words}", quoted=[short, long])
    assert error.redacted().message == "rows (2 keys redacted)"


def test_statements_keep_their_first_word() -> None:
    assert statement("UPDATE t SET a = 1", redact=True) == "UPDATE … (redacted)"
    assert statement("UPDATE t", redact=False) == "UPDATE t"
    assert statement("", redact=True) == ""
