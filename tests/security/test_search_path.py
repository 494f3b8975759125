"""Whoever may make functions and operators, and stands first in everybody's search_path, is never called by osc or its triggers.

The attacker's functions do what PostgreSQL's own do, and write down who called them: CVE-2018-1058 and its kind.
"""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from osc.program import Phase
from tests.operations.lab import Lab

EVIL = """
CREATE SCHEMA evil;
CREATE TABLE evil.log (who text, what text);
GRANT ALL ON SCHEMA evil TO PUBLIC; GRANT ALL ON evil.log TO PUBLIC;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'lower'); RETURN pg_catalog.lower($1); END $$;
CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'current_setting'); RETURN pg_catalog.current_setting($1, $2); END $$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'clock_timestamp'); RETURN pg_catalog.clock_timestamp(); END $$;
CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'set_config'); RETURN pg_catalog.set_config($1, $2, $3); END $$;
CREATE FUNCTION evil.pg_get_indexdef(oid) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'pg_get_indexdef'); RETURN pg_catalog.pg_get_indexdef($1); END $$;
CREATE FUNCTION evil.md5(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO evil.log VALUES (current_user, 'md5'); RETURN pg_catalog.md5($1); END $$;
"""
OPERATORS = {
    "=": ("eq", "="),
    "<": ("lt", "<"),
    ">": ("gt", ">"),
    "<=": ("le", "<="),
    ">=": ("ge", ">="),
    "<>": ("ne", "<>"),
}
TYPES = ("integer", "bigint", "text", "name", "oid", "uuid", "boolean")
CHANGE = (
    "- change_column: {table: t, column: s, to: n, type: text, up: lower(s), down: n}\n"
    "- create_index: {table: t, name: t_n_idx, columns: [n]}"
)


def operators() -> str:
    """Return an operator of the attacker's for each comparison of each common type."""
    made = []
    for type_ in TYPES:
        for operator, (name, real) in OPERATORS.items():
            function = f"evil.{name}_{type_}"
            made.append(
                f"CREATE FUNCTION {function}({type_}, {type_}) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
                f" INSERT INTO evil.log VALUES (current_user, '{operator} {type_}');"
                f" RETURN $1 OPERATOR(pg_catalog.{real}) $2; END $$;"
                f" CREATE OPERATOR evil.{operator} (LEFTARG = {type_}, RIGHTARG = {type_}, FUNCTION = {function});"
            )
    return "\n".join(made)


@pytest.mark.either_version
@pytest.mark.parametrize("turn_back", [False, True])
def test_nothing_of_an_attacker_runs_in_any_phase_there_or_back(lab: Lab, turn_back: bool) -> None:
    lab.run(EVIL)
    lab.run(operators())
    database = conninfo_to_dict(lab.dsn)["dbname"]
    lab.run(f"ALTER DATABASE {database} SET search_path = evil, pg_catalog, public")
    lab.run(
        "CREATE TABLE t (id int PRIMARY KEY, s text); INSERT INTO t SELECT n, 'Word' || n FROM generate_series(1, 30) AS n"
    )
    lab.run("DELETE FROM evil.log")
    lab.write(CHANGE)
    with psycopg.connect(lab.dsn, autocommit=True, application_name="app") as app:
        lab.apply(Phase.DUAL_WRITE)
        app.execute(
            "UPDATE public.t SET s = 'Changed'"
        )  # no operator of its own, so what is called is called by the trigger
        app.execute("INSERT INTO public.t (id, n) VALUES (100, 'New')")
        lab.apply(Phase.SWITCH)
        app.execute("UPDATE public.t SET n = 'Again'")
        if turn_back:
            lab.back()
        else:
            lab.apply(Phase.CONTRACT)
    assert lab.rows("SELECT who || ' called ' || what FROM evil.log") == []


def test_the_attack_would_be_seen(lab: Lab) -> None:
    lab.run(EVIL)
    lab.run(operators())
    with psycopg.connect(lab.dsn, autocommit=True, options="-c search_path=evil,pg_catalog,public") as app:
        app.execute("SELECT lower('A'), 1 = 1")
    assert sorted(lab.rows("SELECT what FROM evil.log")) == ["= integer", "lower"]
