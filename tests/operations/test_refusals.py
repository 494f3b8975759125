"""What cannot go along is refused before the first write: by name, with a remedy, exit 3, nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.operations.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.postgres import Servers

T = "CREATE TABLE t (id integer PRIMARY KEY, a integer, b text, c integer);"
PARTITIONED = """CREATE TABLE t (id integer PRIMARY KEY, a integer) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (9); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (9) TO (20);
"""
CHANGE = "- change_column: {table: t, column: a, to: n, type: bigint}"
SAME = "- change_column: {table: t, column: a, type: bigint}"
NATIVE = "- change_column: {table: t, column: b, type: varchar}"
FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {} RETURN NEW; END$$;"

REFUSED: dict[str, tuple[str, str, str]] = {
    # ------------------------------------------------------------- what reads the column
    "view": (T + "CREATE VIEW v AS SELECT a FROM t", CHANGE, "C218 view public.v uses public.t.a"),
    "materialized view": (T + "CREATE MATERIALIZED VIEW m AS SELECT a FROM t", SAME, "C218 materialized view public.m"),
    "policy": (T + "CREATE POLICY p ON t USING (a > 0)", CHANGE, "C218 policy p ON public.t"),
    "row security": (T + "ALTER TABLE t ENABLE ROW LEVEL SECURITY", CHANGE, "C132 public.t has row-level security"),
    "generated column": (
        T + "ALTER TABLE t ADD g integer GENERATED ALWAYS AS (a + 1) STORED",
        CHANGE,
        "C218 generated column public.t.g",
    ),
    "a generated column itself": (
        "CREATE TABLE t (id integer PRIMARY KEY, c integer, a integer GENERATED ALWAYS AS (c + 1) STORED)",
        CHANGE,
        "C213 public.t.a is a generated column",
    ),
    "publication's column list": (
        T + "CREATE PUBLICATION p FOR TABLE t (id, a)",
        CHANGE,
        "C219 publication p names public.t.a",
    ),
    "publication's row filter": (
        T + "CREATE PUBLICATION p FOR TABLE t WHERE (id > 0 AND a > 0) WITH (publish = 'insert')",
        CHANGE,
        "C219 publication p names public.t.a",
    ),
    "trigger UPDATE OF": (
        T + FUNCTION.format("") + "CREATE TRIGGER g BEFORE UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f()",
        CHANGE,
        "C212 trigger g on public.t mentions a",
    ),
    "trigger WHEN": (
        T
        + FUNCTION.format("")
        + "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION f()",
        CHANGE,
        "C212 trigger g on public.t mentions a",
    ),
    "trigger's body": (
        T
        + FUNCTION.format("NEW.c := NEW.a;")
        + "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        CHANGE,
        "C212 trigger g on public.t mentions a",
    ),
    "incoming foreign key": (
        T + "ALTER TABLE t ADD UNIQUE (a); CREATE TABLE child (a integer REFERENCES t (a))",
        CHANGE,
        "C217 foreign key child_a_fkey of public.child refers to public.t.a",
    ),
    "primary key": (
        T,
        "- change_column: {table: t, column: id, type: bigint}",
        "C215 index t_pkey on public.t.id is the primary key",
    ),
    "identity": (
        T + "ALTER TABLE t ALTER a SET NOT NULL, ALTER a ADD GENERATED ALWAYS AS IDENTITY",
        CHANGE,
        "C214 public.t.a is an identity column",
    ),
    "exclusion constraint": (
        T + "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING btree (a WITH =)",
        CHANGE,
        "C215 index x on public.t.a enforces an exclusion",
    ),
    "replica identity": (
        T + "ALTER TABLE t ALTER a SET NOT NULL; CREATE UNIQUE INDEX i ON t (a); ALTER TABLE t REPLICA IDENTITY USING "
        "INDEX i",
        CHANGE,
        "C215 index i on public.t.a is the replica identity",
    ),
    "clustered index": (
        T + "CREATE INDEX i ON t (a); CLUSTER t USING i",
        CHANGE,
        "C215 index i on public.t.a is the one the table is clustered on",
    ),
    "extended statistics": (T + "CREATE STATISTICS s ON a, c FROM t", CHANGE, "C218 statistics public.s"),
    "check over the whole row": (
        T + "ALTER TABLE t ADD CONSTRAINT w CHECK (t IS NOT NULL)",
        CHANGE,
        "C216 constraint w on public.t.a",
    ),
    "ON DELETE SET NULL of columns": (
        T + "CREATE TABLE p (x integer, y integer, PRIMARY KEY (x, y)); ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (a, "
        "c) REFERENCES p ON DELETE SET NULL (a)",
        CHANGE,
        "C216 constraint k on public.t.a",
    ),
    "domain that refuses NULL": (
        "CREATE DOMAIN d AS integer NOT NULL; CREATE TABLE t (id integer PRIMARY KEY, a d)",
        CHANGE,
        "C223 public.t.a is of domain public.d",
    ),
    # ------------------------------------------------------------------------ the table
    "partition": (
        (
            "CREATE TABLE p (id integer PRIMARY KEY, a integer) PARTITION BY RANGE (id); CREATE TABLE t PARTITION OF p "
            "FOR VALUES FROM (0) TO (9)"
        ),
        CHANGE,
        "C130 public.t is a partition",
    ),
    "partition key": (
        "CREATE TABLE t (id integer NOT NULL, a integer NOT NULL, UNIQUE (id, a)) PARTITION BY RANGE (a)",
        CHANGE,
        "C131 a says to which partition a row of public.t goes",
    ),
    "partition key below": (
        """CREATE TABLE t (id integer NOT NULL, a integer NOT NULL, UNIQUE (id, a)) PARTITION BY RANGE (id);
        CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30) PARTITION BY LIST (a)""",
        CHANGE,
        "C131 a says to which partition a row of public.t goes",
    ),
    "index on partitions": (
        PARTITIONED + "CREATE INDEX t_a ON t (a)",
        CHANGE,
        "C131 index t_n would have to be built on",
    ),
    "index of partitions": (
        PARTITIONED,
        "- create_index: {table: t, name: i, columns: [a]}",
        "C131 index i would have to be built on partitioned table public.t",
    ),
    "index of one partition": (
        PARTITIONED + "CREATE INDEX i ON t2 (a)",
        CHANGE,
        "C131 partition public.t2 of public.t has index public.i",
    ),
    "rule of one partition": (
        PARTITIONED + "CREATE RULE r AS ON UPDATE TO t2 DO ALSO NOTHING",
        CHANGE,
        "C131 partition public.t2 of public.t has rule r",
    ),
    "view of one partition": (
        PARTITIONED + "CREATE VIEW v AS SELECT a FROM t2",
        CHANGE,
        "C131 partition public.t2 of public.t has rule _",
    ),
    "trigger of one partition": (
        PARTITIONED + FUNCTION.format("") + "CREATE TRIGGER g BEFORE UPDATE ON t2 FOR EACH ROW EXECUTE FUNCTION f()",
        CHANGE,
        "C131 partition public.t2 of public.t has trigger g",
    ),
    "unlogged partition": (
        PARTITIONED + "CREATE UNLOGGED TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30)",
        CHANGE,
        "C131 partition public.t3 of public.t is unlogged",
    ),
    "row security of one partition": (
        PARTITIONED + "ALTER TABLE t2 ENABLE ROW LEVEL SECURITY",
        CHANGE,
        "C131 partition public.t2 of public.t has row-level",
    ),
    "foreign partition": (
        PARTITIONED
        + "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w; ALTER TABLE t DROP CONSTRAINT t_pkey;"
        "CREATE FOREIGN TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30) SERVER far",
        CHANGE,
        "C131 partition public.t3 of public.t is a foreign table",
    ),
    "published partition without replica identity": (
        PARTITIONED + "ALTER TABLE t2 REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE t2",
        CHANGE,
        "C131 partition public.t2 of public.t is published without a replica identity",
    ),
    "kept values of partitions": (
        PARTITIONED,
        "- set_not_null: {table: t, column: a, fill: 0}",
        "C131 what a fill overwrites in a is not kept for",
    ),
    "down of a column that may be NULL": (
        PARTITIONED,
        "- drop_column: {table: t, column: a, down: id}",
        "C131 a row of public.t that moves to another partition",
    ),
    "inheritance": (T + "CREATE TABLE u () INHERITS (t)", CHANGE, "C130 public.t takes part in inheritance"),
    "view itself": ("CREATE VIEW t AS SELECT 1 AS id, 2 AS a", CHANGE, "C202 public.t is a view"),
    "unlogged": (T.replace("CREATE", "CREATE UNLOGGED"), CHANGE, "C204 public.t is temporary or unlogged"),
    "no key": (
        "CREATE TABLE t (id integer, a integer); CREATE UNIQUE INDEX ON t (id)",
        CHANGE,
        "C120 table public.t has no usable unique key",
    ),
    "its only key": ("CREATE TABLE t (a integer NOT NULL UNIQUE)", CHANGE, "C121 public.t can only be paged by a"),
    "too many columns": (
        (
            "CREATE TABLE t (id integer PRIMARY KEY, a integer); DO $$ BEGIN EXECUTE (SELECT 'ALTER TABLE t ' || "
            "string_agg(format('ADD x%s integer', n), ', ') FROM generate_series(1, 1597) n); END $$"
        ),
        CHANGE,
        "C245 table public.t has used 1599 of 1600 columns",
    ),
    "published without replica identity": (
        "CREATE TABLE t (id integer NOT NULL UNIQUE, a integer); CREATE PUBLICATION p FOR TABLE t",
        CHANGE,
        "C260 publication p publishes updates of public.t",
    ),
    "missing table": (
        T,
        CHANGE.replace("table: t", "table: tt"),
        "C201 table public.tt does not exist; did you mean public.t?",
    ),
    "wrong schema": (
        "CREATE SCHEMA app; CREATE TABLE app.t (id integer PRIMARY KEY, a integer)",
        CHANGE,
        "C201 table public.t does not exist; did you mean app.t?",
    ),
    "missing column": (
        T.replace(" a ", " amount "),
        CHANGE.replace("column: a", "column: amuont"),
        "C211 column public.t.amuont does not exist; did you mean amount?",
    ),
    "system table": (
        T,
        CHANGE.replace("table: t", "table: pg_catalog.pg_class"),
        "C203 pg_catalog.pg_class belongs to the system",
    ),
    # ------------------------------------------------------------------- names and types
    "name taken": (T, CHANGE.replace("to: n", "to: b"), "C210 column public.t.b exists already"),
    "name taken but for capitals": (
        T,
        CHANGE.replace("to: n", "to: B"),
        "C210 column b of public.t differs from B by capitals only",
    ),
    "system column": (T, CHANGE.replace("to: n", "to: xmin"), "C210 xmin is the name of a system column"),
    "the name it has": (T, CHANGE.replace("to: n", "to: a"), "V140 a is the name it has"),
    "nothing changes": (T, SAME.replace("bigint", "int4"), "V140 nothing would change"),
    "unknown type": (T, CHANGE.replace("bigint", "big_int"), 'C220 big_int: type "big_int" does not exist'),
    "type out of range": (
        T,
        CHANGE.replace("bigint", "varchar(0)"),
        "C220 varchar(0): length for type varchar must be at least 1",
    ),
    "domain with constraints": (
        "CREATE DOMAIN d AS bigint CHECK (VALUE > 0);" + T,
        CHANGE.replace("bigint", "public.d"),
        "C220 public.d is a domain with constraints",
    ),
    "pseudo-type": (T, CHANGE.replace("bigint", "'cstring[]'"), 'C230 "a"::cstring[]'),
    "unusual under one name": (
        T,
        "- change_column: {table: t, column: a, type: text}",
        "V141 under one name every running version must accept both integer and text",
    ),
    "unique with values that may become one": (
        T + "CREATE UNIQUE INDEX i ON t (b)",
        "- change_column: {table: t, column: b, to: n, type: int, up: 'b::int'}",
        "C221 unique index i reads b",
    ),
    # -------------------------------------------------------------------------- the data
    "NULL means two things": (
        T,
        (
            "- change_column: {table: t, column: a, to: n, type: bigint, up: 'coalesce(a, 0)::bigint', down: "
            "'coalesce(n, 0)::int'}"
        ),
        "V149 NULL in the new column could mean both",
    ),
    "NULL into NOT NULL": (
        T + "INSERT INTO t VALUES (7, 1, 'b', NULL)",
        "- change_column: {table: t, column: a, to: n, type: text, up: c::text, not_null: true, down: 'n::int'}",
        "C244 rows for which up gives NULL, which n is not to be: 7",
    ),
    "the definition that goes along": (
        T + "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)",
        CHANGE.replace("bigint", "text"),
        'C231 k: CHECK (("n" > 0)): operator does not exist',
    ),
    "a foreign key's other side": (
        "CREATE TABLE p (id integer PRIMARY KEY);" + T + "ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES p",
        CHANGE.replace("bigint", "text"),
        "C231 k: id = n: operator does not exist",
    ),
    # ---------------------------------------------------------------- the plan as a whole
    "a trigger that the fill would fire": (
        T + FUNCTION.format("") + "CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        CHANGE,
        "C251 triggers of public.t would fire for every row that the fill writes: g",
    ),
    "a trigger behind ours": (
        T + FUNCTION.format("") + 'CREATE TRIGGER "~z" BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()',
        CHANGE,
        "C252 trigger ~z on public.t sorts behind",
    ),
    "narrowing without an ack": (
        T,
        "- create_index: {table: t, name: i, columns: [a], unique: true}",
        "V153 unique: a row the application writes",
    ),
    "the same column twice": (
        T,
        f"{SAME}\n- change_column: {{table: t, column: a, type: numeric, same_name: accepted}}",
        "V131 column public.t.a is made or changed by an earlier operation",
    ),
    "the new column changed again": (
        T,
        f"{CHANGE}\n- rename_column: {{table: t, column: n, to: m}}",
        "V131 column public.t.n is made or changed by an earlier operation",
    ),
    "up reads what an earlier operation makes": (
        T,
        f"{CHANGE}\n- add_column: {{table: t, column: twice, type: bigint, up: n * 2}}",
        "V156 up of public.t.twice reads n",
    ),
    "columns that share an index": (
        T + "CREATE INDEX i ON t (a, c)",
        f"{CHANGE}\n- rename_column: {{table: t, column: c, to: m}}",
        "C234 i_n on public.t.c: made or replaced by an earlier operation",
    ),
    "an index made before its column changes": (
        T,
        f"- create_index: {{table: t, name: i, columns: [a]}}\n{CHANGE}",
        "C234 i on public.t.a: made or replaced by an earlier operation",
    ),
    "a partial index beside a change of the catalog": (
        T,
        f"{NATIVE}\n- create_index: {{table: t, name: i, columns: [id], where: b IS NOT NULL}}",
        "C233 index i has an expression or predicate over b",
    ),
    # ----------------------------------------------------------------------- create_index
    "index over a missing column": (
        T,
        "- create_index: {table: t, name: i, columns: [bb]}",
        "C211 column public.t.bb does not exist; did you mean b?",
    ),
    "index name taken": (
        T,
        "- create_index: {table: t, name: t_pkey, columns: [a]}",
        "C241 public.t_pkey exists already",
    ),
    "index name taken by a table": (
        T,
        "- create_index: {table: t, name: t, columns: [a]}",
        "C241 public.t exists already",
    ),
    "index over a moving expression": (
        T,
        f"{SAME}\n- create_index: {{table: t, name: i, columns: [{{expression: a + 1}}]}}",
        "C233 an expression or predicate of i reads a",
    ),
    "volatile index expression": (
        T,
        "- create_index: {table: t, name: i, columns: [{expression: random() + a}]}",
        "C232 i: USING",
    ),
    "unknown operator class": (
        T,
        "- create_index: {table: t, name: i, columns: [{column: a, opclass: text_ops}]}",
        "C232 i: USING",
    ),
    "duplicates": (
        T + "INSERT INTO t SELECT n, 5 FROM generate_series(1, 3) AS n",
        "- create_index: {table: t, name: i, columns: [a], unique: true}",
        "C242 rows that unique index i does not allow (equal keys): 5",
    ),
    "unique hash": (
        T,
        "- create_index: {table: t, name: i, columns: [a], unique: true, method: hash}",
        "V148 a unique index cannot be of method hash",
    ),
    # ------------------------------------------------------------------------- add_column
    "NOT NULL without a value": (
        T,
        "- add_column: {table: t, column: x, type: int, not_null: true}",
        "V145 NOT NULL needs a value",
    ),
    "default of another type": (
        T,
        "- add_column: {table: t, column: x, type: int, default: many}",
        "C222 'many': invalid input syntax",
    ),
    "default that reads a column": (
        T,
        "- add_column: {table: t, column: x, type: int, default: {sql: a + 1}}",
        "C222 a + 1: cannot use column reference in DEFAULT",
    ),
    "volatile default without a key": (
        "CREATE TABLE t (a integer)",
        "- add_column: {table: t, column: x, type: uuid, default: {sql: gen_random_uuid()}}",
        "C120",
    ),
    "up that gives NULL": (
        T + "INSERT INTO t VALUES (7)",
        "- add_column: {table: t, column: x, type: int, up: a, not_null: true}",
        "C244 rows for which up gives NULL",
    ),
}


@pytest.fixture(scope="module")
def refusing(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give one laboratory for all of them: what is refused leaves nothing behind."""
    server = servers.get(18)
    with psycopg.connect(server.dsn(), autocommit=True) as maintenance:
        maintenance.execute("CREATE DATABASE refusals TEMPLATE template0")
    with psycopg.connect(server.dsn("refusals"), autocommit=True) as connection:
        yield Lab(server.dsn("refusals"), tmp_path_factory.mktemp("plans"), str, connection)
    with psycopg.connect(server.dsn(), autocommit=True) as maintenance:
        maintenance.execute("DROP DATABASE refusals WITH (FORCE)")


@pytest.fixture
def lab(refusing: Lab) -> Lab:
    """Give the shared laboratory, emptied of what the last test made."""
    refusing.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS app CASCADE")
    refusing.run("DROP PUBLICATION IF EXISTS p")
    return refusing


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name(lab: Lab, name: str) -> None:
    before, operations, expected = REFUSED[name]
    lab.run(before)
    lab.write(operations, "backfill: {require: [{ack: writers-comply}]}" if expected[:3] == "C24" else "")
    found = lab.refusal()
    assert any(line.startswith(expected) for line in found), found


def test_an_invalid_index_on_the_column_is_refused(lab: Lab) -> None:
    lab.run(T + "INSERT INTO t SELECT n, 5 FROM generate_series(1, 3) AS n")
    with pytest.raises(Exception, match="could not create unique index"):
        lab.run("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)")
    lab.write(CHANGE)
    assert any("C215 index i on public.t.a is not valid" in line for line in lab.refusal())
    lab.write("- create_index: {table: t, name: i, columns: [a]}")
    assert any("C240 index i exists and is invalid" in line for line in lab.refusal())


EXPRESSIONS = {
    "function of time": "now()",
    "volatile": "random()::bigint",
    "sequence": "nextval('s')",
    "sleep": "pg_sleep(9)::text::bigint",
    "setting": "set_config('a.b', 'c', true)::bigint",
    "sub-select": "(SELECT 1)",
    "aggregate": "max(a)",
    "window": "row_number() OVER ()",
    "set": "generate_series(1, a)",
    "another table": "(SELECT a FROM u LIMIT 1)",
    "missing column": "aa",
    "the new column itself": "n",
    "wrong type": "b",
    "unqualified function": "norm(a)",
    "closing our bracket": "1) STORED, ADD COLUMN evil integer DEFAULT (1",
    "system column": "xmin::text::bigint",
    "parameter": "$1",
}
"""B28 to B36, those that have the form of an expression; what has not is refused when the file is read."""


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_that_is_not_one_immutable_expression_over_the_row_is_refused(lab: Lab, name: str) -> None:
    lab.run(
        T + "CREATE SEQUENCE s; CREATE TABLE u (a integer); CREATE FUNCTION norm(integer) RETURNS bigint LANGUAGE sql "
        "IMMUTABLE RETURN $1"
    )
    lab.write(
        f"- change_column:\n    table: t\n    column: a\n    to: n\n    type: bigint\n    up: |\n      "
        f"{EXPRESSIONS[name]}\n    down: n::int"
    )
    found = lab.refusal()
    assert any(line.startswith(("C230", "V121")) for line in found), found


def test_no_expression_is_evaluated_before_it_is_proven(lab: Lab) -> None:
    lab.run(T + "CREATE SEQUENCE s")
    lab.write(
        "- change_column: {table: t, column: a, to: n, type: bigint, up: \"nextval('public.s')\", down: 'n::int'}"
    )
    assert lab.refusal()[0].startswith("C230")
    assert lab.value("SELECT is_called FROM s") is False
