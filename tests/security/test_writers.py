"""Whoever writes to the table runs the trigger: what it needs is asked for before the first write, and what it never needs is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from osc.errors import Refused
from osc.program import Phase
from tests.fixtures.sweeping import sampled
from tests.operations.lab import Lab

TABLES = """
    CREATE SCHEMA app; REVOKE ALL ON SCHEMA app FROM PUBLIC;
    CREATE TYPE app.mood AS ENUM ('dull', 'bright');
    CREATE FUNCTION app.norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN lower($1); END $$;
    CREATE FUNCTION app.joined(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || $2 $$;
    CREATE OPERATOR app.+ (LEFTARG = text, RIGHTARG = text, FUNCTION = app.joined);
    REVOKE ALL ON FUNCTION app.norm(text), app.joined(text, text) FROM PUBLIC;
    CREATE TABLE public.t (id int PRIMARY KEY, s text, m app.mood DEFAULT 'dull');
    INSERT INTO public.t SELECT n, 'Word' || n FROM generate_series(1, 20) AS n;
"""


@dataclass
class Writer:
    """A role of the application that may write to the table, and nothing else."""

    lab: Lab
    role: str

    def may(self, grant: str) -> None:
        self.lab.run(f"GRANT {grant} TO {self.role}")

    def writes(self) -> None:
        """Write as the old application does, and as the new one, from a session that has not seen the trigger before."""
        with psycopg.connect(make_conninfo(self.lab.dsn, user=self.role), autocommit=True) as conn:
            conn.execute("UPDATE public.t SET s = 'Changed' WHERE id < 5")
            conn.execute("INSERT INTO public.t (id, s) SELECT max(id) + 1, 'New' FROM public.t")


@pytest.fixture
def writer(lab: Lab) -> Iterator[Writer]:
    role = f"app_{conninfo_to_dict(lab.dsn)['dbname']}"
    lab.run(f"CREATE ROLE {role} LOGIN")
    lab.run(TABLES)
    lab.run(f"GRANT SELECT, INSERT, UPDATE (s) ON public.t TO {role}")
    yield Writer(lab, role)
    lab.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


NEEDS = {
    "a function": ("{column: s, to: n, type: text, up: app.norm(s), down: n}",
                   ["EXECUTE ON FUNCTION app.norm(text)", "USAGE ON SCHEMA app"]),
    "an operator": ("{column: s, to: n, type: text, up: s OPERATOR(app.+) 'x', down: n}",
                    ["EXECUTE ON FUNCTION app.joined(text,text)", "USAGE ON SCHEMA app"]),
    "a type": (
        "{column: s, to: n, type: app.mood, up: CASE WHEN s = 'x' THEN 'bright'::app.mood END, down: n::text}",
        ["USAGE ON SCHEMA app"],
    ),
    "the type of a column it reads": ("{column: m, to: n, type: text, up: m::text, down: n::app.mood}", ["USAGE ON SCHEMA app"]),
}  # fmt: skip


@pytest.mark.parametrize("what", sampled(list(NEEDS), 2))
def test_what_the_trigger_needs_of_a_writer_is_named_before_the_first_write(writer: Writer, what: str) -> None:
    change, needed = NEEDS[what]
    writer.lab.write(f"- change_column: {{table: t, {change[1:]}")
    said = writer.lab.refusal()
    for grant in needed:
        assert any(line.startswith("C261") and f"GRANT {grant} TO {writer.role}" in line for line in said), said
        writer.may(grant)
    for phase in (Phase.DUAL_WRITE, Phase.SWITCH):
        writer.lab.apply(phase)
        writer.writes()


def test_a_type_that_the_trigger_does_not_name_is_not_asked_for(writer: Writer) -> None:
    """The writer needs no more than before, where another column of the table is of a type it may not name."""
    writer.lab.write("- change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n}")
    writer.lab.apply(Phase.DUAL_WRITE)
    writer.writes()
    writer.lab.apply(Phase.SWITCH)
    writer.writes()


ALSO = {
    "an index": "- create_index: {table: t, name: t_norm_idx, columns: [{expression: app.norm(s)}]}",
    "a default": "- add_column: {table: t, column: n, type: text, default: {sql: app.norm('x')}}",
}


@pytest.mark.parametrize("what", sampled(list(ALSO), 1))
def test_what_the_server_itself_will_run_as_the_writer_is_named_as_well(writer: Writer, what: str) -> None:
    writer.lab.write(ALSO[what])
    said = writer.lab.refusal()
    assert [line.partition("; ")[2] for line in said] == [
        f"GRANT EXECUTE ON FUNCTION app.norm(text) TO {writer.role}"
    ], said
    writer.may("EXECUTE ON FUNCTION app.norm(text)")
    writer.lab.apply(Phase.BACKFILL)
    writer.writes()


def test_a_function_of_somebody_else_that_runs_with_their_rights_is_refused(writer: Writer) -> None:
    """B35: its owner could let every row be anything, by rights that neither the table's owner nor the writer has."""
    writer.lab.run(
        f"""CREATE FUNCTION app.theirs(text) RETURNS text LANGUAGE sql IMMUTABLE SECURITY DEFINER AS $$ SELECT $1 $$;
        CREATE FUNCTION app.around(x text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT app.theirs(x); END;
        ALTER FUNCTION app.theirs(text) OWNER TO {writer.role};
        GRANT EXECUTE ON FUNCTION app.theirs(text) TO PUBLIC"""
    )
    writer.may("USAGE ON SCHEMA app")
    for call in ("app.theirs(s)", "app.around(s)"):
        writer.lab.write(f"- change_column: {{table: t, column: s, to: n, type: text, up: {call}, down: n}}")
        assert [line[:5] for line in writer.lab.refusal()] == ["C262 "]
    writer.lab.run("ALTER FUNCTION app.theirs(text) OWNER TO CURRENT_USER")
    writer.lab.apply(Phase.DUAL_WRITE)
    writer.writes()


def test_what_a_parsed_function_calls_is_asked_for_and_what_a_definer_calls_is_not(writer: Writer) -> None:
    writer.lab.run(
        """CREATE FUNCTION app.outer(x text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT x OPERATOR(app.+) app.norm(x); END;
        CREATE FUNCTION app.definer(x text) RETURNS text LANGUAGE sql IMMUTABLE SECURITY DEFINER
            BEGIN ATOMIC SELECT app.norm(x); END"""
    )
    writer.may("USAGE ON SCHEMA app")
    writer.lab.write(
        "- change_column: {table: t, column: s, to: n, type: text, up: app.outer(s), down: app.definer(n)}"
    )
    said = writer.lab.refusal()
    assert sorted(line.partition("; ")[2] for line in said) == [
        f"GRANT EXECUTE ON FUNCTION app.{name} TO {writer.role}" for name in ("joined(text,text)", "norm(text)")
    ], said


def test_what_is_taken_away_in_the_middle_of_a_change_stops_the_next_phase_by_name(writer: Writer) -> None:
    for grant in ("EXECUTE ON FUNCTION app.norm(text)", "USAGE ON SCHEMA app"):
        writer.may(grant)
    writer.lab.write("- change_column: {table: t, column: s, to: n, type: text, up: app.norm(s), down: n}")
    for before, grant, phase in (
        (Phase.DUAL_WRITE, "EXECUTE ON FUNCTION app.norm(text)", Phase.BACKFILL),
        (Phase.BACKFILL, "USAGE ON SCHEMA app", Phase.SWITCH),
    ):
        writer.lab.apply(before)
        state = writer.lab.value("SELECT state FROM osc.change")
        writer.lab.run(f"REVOKE {grant} FROM {writer.role}")
        with pytest.raises(Refused, match="nothing was changed") as refused:
            writer.lab.apply(phase)
        assert [(one.code, one.hint) for one in refused.value.findings] == [("C261", f"GRANT {grant} TO {writer.role}")]
        assert writer.lab.value("SELECT state FROM osc.change") == state
        writer.may(grant)
    writer.lab.apply(Phase.SWITCH)
    writer.writes()
    writer.lab.run(f"REVOKE EXECUTE ON FUNCTION app.norm(text) FROM {writer.role}")
    writer.lab.apply(Phase.CONTRACT)  # which takes away what needs it
