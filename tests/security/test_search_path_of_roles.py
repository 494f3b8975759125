"""The same attack where osc is no superuser: by types, casts, operators, temporary objects, and what roles have as search_path.

What osc leaves in reach of others (the trigger's function, schema osc) is nobody else's to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from osc.program import Phase
from tests.security.test_roles import Minimum, minimum
from tests.security.test_search_path import CHANGE, EVIL, operators

__all__ = ["minimum"]

TYPES = ("text", "uuid", "name", "oid", "jsonb", "bytea", "regclass")
"""Names that are looked up; integer and its like are words of the grammar."""
MORE = """
CREATE FUNCTION evil.seen(what pg_catalog.text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, what); RETURN true; END $$;
CREATE TYPE evil.tag AS (word pg_catalog.text);
CREATE FUNCTION evil.told(evil.tag) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.seen('cast'); RETURN ($1).word; END $$;
CREATE CAST (evil.tag AS pg_catalog.text) WITH FUNCTION evil.told(evil.tag) AS IMPLICIT;
"""
TEMPORARY = """
CREATE TEMPORARY TABLE t (id int, s text, n text);
CREATE TEMPORARY TABLE pg_class (oid oid, relname name);
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (evil.seen('type in pg_temp'));
CREATE FUNCTION pg_temp.lower(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.seen('pg_temp.lower'); RETURN $1; END $$;
"""


@dataclass
class Siege:
    """A table, osc with the minimum of privileges, and an attacker who stands first in everybody's search_path."""

    minimum: Minimum
    attacker: str

    def writer(self) -> psycopg.Connection:
        """Return a session of the application, as the owner of the table, with temporary objects that the attacker chose."""
        user = self.minimum.names["owner"]
        conn = psycopg.connect(make_conninfo(self.minimum.lab.dsn, user=user), autocommit=True)
        conn.execute(TEMPORARY.encode())
        return conn

    def called(self) -> list[str]:
        found: list[str] = self.minimum.lab.rows("SELECT DISTINCT who || ' called ' || what FROM evil.log ORDER BY 1")
        return found


@pytest.fixture
def siege(minimum: Minimum) -> Iterator[Siege]:
    attacker = f"mallory_{minimum.names['database']}"
    minimum.names["attacker"] = attacker
    minimum.do("CREATE ROLE {attacker} LOGIN; CREATE SCHEMA evil AUTHORIZATION {attacker}; ALTER ROLE {owner} LOGIN")
    minimum.admin.execute(EVIL.replace("CREATE SCHEMA evil;", f"SET ROLE {attacker};").encode())
    domains = [f"CREATE DOMAIN evil.{one} AS pg_catalog.{one} CHECK (evil.seen('type {one}'))" for one in TYPES]
    minimum.admin.execute("; ".join([operators(), MORE, *domains, "RESET ROLE"]).encode())
    minimum.do("CREATE TABLE t (id int PRIMARY KEY, s pg_catalog.text); ALTER TABLE t OWNER TO {owner}")
    minimum.admin.execute("INSERT INTO t SELECT n, 'Word' || n FROM generate_series(1, 30) AS n")
    for whose in ("ROLE {role}", "ROLE {owner}", "ROLE {role} IN DATABASE {database}", "DATABASE {database}"):
        minimum.do(f"ALTER {whose} SET search_path = evil, pg_catalog, public")
    minimum.do("GRANT TEMPORARY ON DATABASE {database} TO {owner}")
    yield Siege(minimum, attacker)
    minimum.do("DROP OWNED BY {attacker} CASCADE; DROP ROLE {attacker}")


def test_nothing_of_an_attacker_runs_as_the_role_of_osc_or_of_whoever_writes(siege: Siege) -> None:
    lab = siege.minimum.lab
    lab.write(CHANGE)
    with siege.writer() as app:
        lab.apply(Phase.DUAL_WRITE)
        app.execute("UPDATE public.t SET s = 'Changed'")
        app.execute("INSERT INTO public.t (id, n) VALUES (100, 'New')")
        lab.apply(Phase.SWITCH)
        app.execute("UPDATE public.t SET n = 'Again'")
        lab.back(Phase.BACKFILL)
        lab.apply(Phase.CONTRACT)
    assert siege.called() == []


def test_that_attack_would_be_seen(siege: Siege) -> None:
    with siege.writer() as app:
        app.execute("SELECT lower('A'), 1 = 1, 'x'::text, NULL::jsonb, ROW('x')::evil.tag::pg_catalog.text")
    owner = siege.minimum.names["owner"]
    assert siege.called() == [
        f"{owner} called {what}" for what in ("= integer", "cast", "lower", "type in pg_temp", "type jsonb")
    ]


def test_what_osc_leaves_in_reach_is_nobody_elses_to_change_or_to_call(siege: Siege) -> None:
    lab = siege.minimum.lab
    lab.write(CHANGE)
    lab.apply(Phase.DUAL_WRITE)
    functions = "pg_proc AS p WHERE p.pronamespace IN ('public'::regnamespace, 'osc'::regnamespace)"
    assert lab.value(f"SELECT count(*) > 1 FROM {functions}")
    loose = "p.prosecdef OR coalesce(p.proconfig[1], '') !~ '^search_path=(pg_catalog(, pg_temp)?|\"\")$'"
    owned = f"pg_has_role('{siege.attacker}', p.proowner, 'MEMBER')"
    assert lab.rows(f"SELECT p.oid::regprocedure::text FROM {functions} AND ({loose} OR {owned})") == []
    assert not lab.value(f"SELECT has_schema_privilege('{siege.attacker}', 'osc', 'USAGE')")
