"""What osc reads from PostgreSQL's catalogs is what the tables are, on every supported server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from osc.catalog.model import WHOLE_ROW, Catalog, Dependent, Table
from osc.names import QName
from osc.pg import catalog as reading
from osc.pg.catalog import after_on, read_catalog, read_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.postgres import Connect

pytestmark = [pytest.mark.anyio, pytest.mark.both_versions]

T = QName("app", "t")


async def read(dsn: str, *names: QName, **options: str) -> Catalog:
    """Read the tables on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, **options) as conn:
        return await read_catalog(conn, names)


@pytest.fixture
def run(connect: Connect) -> Callable[[str], None]:
    """Give a function that runs statements; schema app is there."""
    conn = connect()
    conn.execute("CREATE SCHEMA app")

    def run(script: str) -> None:
        conn.execute(script)

    return run


@pytest.fixture
def tables(dsn: str, run: Callable[[str], None]) -> Callable[..., Any]:
    """Give a function that runs statements and reads the tables named after them, by default app.t."""

    async def tables(script: str, *names: QName) -> Catalog:
        run(script)
        return await read(dsn, *(names or (T,)))

    return tables


@pytest.fixture
def table(tables: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that runs statements and reads app.t."""

    async def table(script: str) -> Table:
        catalog: Catalog = await tables(script)
        [found] = catalog.tables
        return found

    return table


# ------------------------------------------------------------------------------------ server and table


async def test_the_server_is_told(dsn: str, postgres_version: int) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        server = await read_server(conn)
    assert server.major == postgres_version
    assert server.database.startswith("test_")
    assert server.superuser
    assert server.may_set_replication_role
    assert not server.in_recovery
    assert server.deadlock_timeout_ms == 1000
    assert int(server.system_identifier) > 0


async def test_an_ordinary_role_reads_everything_but_what_it_may_not(
    dsn: str, run: Callable[[str], None], connect: Connect
) -> None:
    run("""
        CREATE TABLE app.t (id int PRIMARY KEY, a text CHECK (a <> ''));
        CREATE PUBLICATION everything FOR ALL TABLES;
    """)
    role = "plain_" + dsn.split("test_")[1][:12]
    admin = connect()
    admin.execute(f"CREATE ROLE {role} LOGIN")
    try:
        admin.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        catalog = await read(dsn, T, user=role)
        [table] = catalog.tables
        assert not table.may_own
        assert table.constraint("t_a_check")
        assert table.publications
        assert catalog.server.role == role
        assert not catalog.server.superuser
        assert not catalog.server.may_set_replication_role
        assert catalog.server.system_identifier == ""
        if catalog.server.major >= 15:
            admin.execute(f"GRANT SET ON PARAMETER session_replication_role TO {role}")
            assert (await read(dsn, T, user=role)).server.may_set_replication_role
            admin.execute(f"REVOKE SET ON PARAMETER session_replication_role FROM {role}")
        admin.execute(f"ALTER TABLE app.t OWNER TO {role}")
        [table] = (await read(dsn, T, user=role)).tables
        assert table.may_own
        assert table.owner == role
        admin.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
    finally:
        admin.execute(f"DROP ROLE {role}")


async def test_what_kind_of_table_it_is(tables: Callable[..., Any]) -> None:
    catalog = await tables(
        """
        CREATE UNLOGGED TABLE app.u (a int);
        CREATE VIEW app.v AS SELECT 1 AS a;
        CREATE TABLE app.p (a int) PARTITION BY LIST (a);
        CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1);
        CREATE TABLE app.t (a int);
        CREATE TABLE app.heir () INHERITS (app.t);
        ALTER TABLE app.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, REPLICA IDENTITY FULL;
        """,
        *(QName("app", name) for name in ("u", "v", "p", "p1", "t", "heir")),
    )
    unlogged, view, partitioned, partition, table, heir = catalog.tables
    assert (unlogged.kind, unlogged.persistence) == ("r", "u")
    assert view.kind == "v"
    assert view.dependents == ()
    assert (partitioned.kind, partitioned.children) == ("p", (partition.name,))
    assert (partition.partition, partition.parents) == (True, (partitioned.name,))
    assert (table.children, heir.parents) == ((heir.name,), (table.name,))
    assert (table.row_security, table.force_row_security, table.replica_identity) == (True, True, "f")


async def test_sizes_and_column_numbers_need_no_look_at_the_table(table: Callable[..., Any]) -> None:
    found = await table("CREATE TABLE app.t (a int, gone int, b int)")
    assert (found.rows_estimate, found.size_bytes) == (0, 0)
    found = await table("""
        ALTER TABLE app.t DROP COLUMN gone;
        INSERT INTO app.t SELECT n FROM generate_series(1, 1000) AS n;
        ANALYZE app.t;
    """)
    assert found.rows_estimate == 1000
    assert found.size_bytes >= 8192
    assert found.column_numbers_used == 3
    assert [(column.name, column.number) for column in found.columns] == [("a", 1), ("b", 3)]


async def test_a_member_of_an_extension_is_known(table: Callable[..., Any], run: Callable[[str], None]) -> None:
    run("CREATE TABLE app.t (a int); ALTER EXTENSION plpgsql ADD TABLE app.t")
    assert (await table("SELECT 1")).extension == "plpgsql"


# --------------------------------------------------------------------------------------------- columns


async def test_columns_are_told_as_the_server_deparses_them(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TYPE app.mood AS ENUM ('good', 'bad');
        CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
        CREATE FUNCTION app.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
        CREATE TABLE app.t (
            short varchar(50) NOT NULL DEFAULT 'x',
            feeling app.mood DEFAULT 'good',
            size app.positive DEFAULT app.f(1),
            ruled text COLLATE "C",
            many int[],
            doubled int GENERATED ALWAYS AS (app.f(size)) STORED,
            span int4range
        );
        ALTER TABLE app.t ALTER short SET STATISTICS 0;
        ALTER TABLE app.t ALTER short SET (n_distinct = 5, n_distinct_inherited = 6);
        COMMENT ON COLUMN app.t.short IS 'it''s short';
        ALTER TABLE app.t ALTER ruled SET STORAGE EXTERNAL;
    """)
    short, feeling, size, ruled, many, doubled, span = found.columns
    assert (short.type, short.not_null, short.default) == ("character varying(50)", True, "'x'::character varying")
    assert (short.statistics, short.options) == (0, "n_distinct=5,n_distinct_inherited=6")
    assert (short.comment, short.storage, short.collation) == ("it's short", None, None)
    assert (feeling.type, feeling.type_kind, feeling.default) == ("app.mood", "e", "'good'::app.mood")
    assert (size.type, size.type_kind, size.default) == ("app.positive", "d", "app.f(1)")
    assert (ruled.collation, ruled.storage, ruled.statistics) == ('pg_catalog."C"', "EXTERNAL", None)
    assert (many.type, span.type_kind) == ("integer[]", "r")
    assert (doubled.generated, doubled.default) == ("s", "app.f((size)::integer)")


async def test_the_compression_that_was_set_is_told(table: Callable[..., Any]) -> None:
    found = await table("CREATE TABLE app.t (a text, b text COMPRESSION pglz)")
    assert [column.compression for column in found.columns] == [None, "pglz"]


async def test_serial_and_identity_columns_own_their_sequences(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (
            a serial, b int GENERATED ALWAYS AS IDENTITY, c int GENERATED BY DEFAULT AS IDENTITY, d int);
    """)
    assert [column.owned_sequence for column in found.columns] == [
        QName("app", "t_a_seq"), QName("app", "t_b_seq"), QName("app", "t_c_seq"), None]  # fmt: skip
    assert [column.identity for column in found.columns] == ["", "a", "d", ""]
    assert found.columns[0].default == "nextval('app.t_a_seq'::regclass)"


EQUALITY = {
    "int": True, "text": True, "varchar(5)": True, "jsonb": True, "uuid": True, "bytea": True, "inet": True,
    "cidr": True, "int[]": True, "app.mood": True, "app.mood[]": True, "int4range": True, "app.whole": True,
    "app.words": True, "int4multirange": True, "xid": True, "oidvector": True, "name": True, '"char"': True,
    "json": False, "xml": False, "point": False, "json[]": False, "app.broken": False, "app.document": False,
    "app.document[]": False, "app.broken[]": False,
}  # fmt: skip


async def test_types_without_equality_are_told(table: Callable[..., Any]) -> None:
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(EQUALITY))
    found = await table(f"""
        CREATE TYPE app.mood AS ENUM ('good', 'bad');
        CREATE DOMAIN app.words AS text[];
        CREATE DOMAIN app.document AS json;
        CREATE TYPE app.whole AS (a int, b text);
        CREATE TYPE app.broken AS (a int, b json);
        CREATE TABLE app.t ({columns});
    """)
    told = {type_: column.has_equality for type_, column in zip(EQUALITY, found.columns, strict=True)}
    assert told == EQUALITY


async def test_column_grants_are_told_as_grant_writes_them(
    table: Callable[..., Any], connect: Connect, dsn: str
) -> None:
    role = f'odd "{dsn[-6:]}" role'.replace("'", "")
    quoted = '"' + role.replace('"', '""') + '"'
    admin = connect()
    admin.execute(f"CREATE ROLE {quoted}")
    try:
        found = await table(f"""
            CREATE TABLE app.t (a int, b int);
            GRANT UPDATE (a), SELECT (a) ON app.t TO {quoted} WITH GRANT OPTION;
            GRANT SELECT (a) ON app.t TO PUBLIC;
        """)
        assert found.column("a").grants == (
            f"SELECT TO {quoted} WITH GRANT OPTION", "SELECT TO PUBLIC", f"UPDATE TO {quoted} WITH GRANT OPTION"
        )  # fmt: skip
        assert found.column("b").grants == ()
    finally:
        admin.execute(f"DROP OWNED BY {quoted}; DROP ROLE {quoted}")


async def test_a_nondeterministic_collation_is_told(table: Callable[..., Any], run: Callable[[str], None]) -> None:
    try:
        run("CREATE COLLATION app.\"no case\" (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except (errors.FeatureNotSupported, errors.InvalidParameterValue, errors.UndefinedObject) as error:
        pytest.skip(f"the server has no ICU: {error}")
    found = await table('CREATE TABLE app.t (a text COLLATE app."no case", b text)')
    assert [column.collation for column in found.columns] == ['app."no case"', None]
    assert [column.collation_deterministic for column in found.columns] == [False, True]


@pytest.mark.parametrize("validated", [True, False])
async def test_not_null_counts_once_it_is_proven(
    table: Callable[..., Any], postgres_version: int, validated: bool
) -> None:
    if postgres_version < 18:
        pytest.skip("NOT NULL constraints have names since 18")
    found = await table(f"""
        CREATE TABLE app.t (a int);
        ALTER TABLE app.t ADD CONSTRAINT a_there NOT NULL a {"" if validated else "NOT VALID"};
        CREATE UNIQUE INDEX t_a ON app.t (a);
    """)
    constraint = found.constraint("a_there")
    assert (constraint.type, constraint.columns, constraint.validated) == ("n", ("a",), validated)
    assert found.column("a").not_null is validated
    assert (found.paging_key() is not None) is validated


async def test_virtual_columns_and_unenforced_checks_of_server_18(
    table: Callable[..., Any], postgres_version: int
) -> None:
    if postgres_version < 18:
        pytest.skip("since 18")
    found = await table("""
        CREATE TABLE app.t (a int, b int GENERATED ALWAYS AS (a * 2), CONSTRAINT c CHECK (a > 0) NOT ENFORCED);
    """)
    assert found.column("b").generated == "v"
    assert found.constraint("c").enforced is False
    assert Dependent(kind="generated column", name="app.t.b", columns=("a",)) in found.dependents


# --------------------------------------------------------------------------------------------- indexes


async def test_an_index_is_told_in_all_its_parts(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (a int, b text, c int, d int, e int, f text);
        CREATE INDEX i ON app.t (a DESC, lower(b), f COLLATE "C" text_pattern_ops, c NULLS FIRST) INCLUDE (d)
            WITH (fillfactor = 70) WHERE e > 0 AND lower(b) <> '{VAR :varno 1 :varattno 3 :vartype 23' AND e < 9;
        COMMENT ON INDEX app.i IS 'hello';
    """)
    index = found.index("i")
    assert index.columns == ("a", None, "f", "c")
    assert index.include == ("d",)
    assert index.uses == ("a", "b", "c", "d", "e", "f")
    assert index.expression_references == {"b": 2, "e": 2}
    assert index.descending == (True, False, False, False)
    assert index.nulls_first == (True, False, False, True)
    assert index.collations == (None, None, 'pg_catalog."C"', None)
    assert not index.default_opclasses
    assert index.partial
    assert not index.unique
    assert index.comment == "hello"
    assert index.after_on.startswith('USING btree (a DESC, lower(b), f COLLATE "C" text_pattern_ops')
    assert index.definition.endswith(index.after_on)
    assert index.method == "btree"


async def test_an_index_over_the_whole_row_uses_every_column(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (a int, b int);
        CREATE FUNCTION app.f(app.t) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
        CREATE INDEX i ON app.t (app.f(t));
    """)
    assert found.index("i").uses == ("a", "b")
    assert found.index("i").expression_references == {WHOLE_ROW: 1}


async def test_indexes_of_constraints_and_for_replication(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (a int NOT NULL, b int, c int4range, PRIMARY KEY (a),
            CONSTRAINT later UNIQUE (b) DEFERRABLE INITIALLY DEFERRED, CONSTRAINT apart EXCLUDE USING gist (c WITH &&));
        CREATE UNIQUE INDEX r ON app.t (a);
        ALTER TABLE app.t REPLICA IDENTITY USING INDEX r, CLUSTER ON t_pkey;
    """)
    assert found.index("t_pkey").primary
    assert found.index("t_pkey").clustered
    assert found.index("t_pkey").constraint == "t_pkey"
    assert not found.index("later").immediate
    assert found.index("apart").exclusion
    assert found.index("apart").method == "gist"
    assert (found.index("r").replica_identity, found.index("r").constraint) == (True, None)
    later = found.constraint("later")
    assert (later.type, later.index, later.deferrable, later.deferred) == ("u", "later", True, True)
    assert found.primary_key().columns == ("a",)


async def test_nulls_not_distinct_is_told(table: Callable[..., Any], postgres_version: int) -> None:
    if postgres_version < 15:
        pytest.skip("since 15")
    found = await table("CREATE TABLE app.t (a int UNIQUE NULLS NOT DISTINCT, b int UNIQUE)")
    assert found.index("t_a_key").nulls_not_distinct
    assert not found.index("t_b_key").nulls_not_distinct


async def test_the_carcass_of_an_index_build_is_not_valid(
    table: Callable[..., Any], run: Callable[[str], None]
) -> None:
    run("CREATE TABLE app.t (a int NOT NULL); INSERT INTO app.t VALUES (1), (1)")
    with pytest.raises(errors.UniqueViolation):
        run("CREATE UNIQUE INDEX CONCURRENTLY i ON app.t (a)")
    found = await table("SELECT 1")
    assert not found.index("i").valid
    assert found.paging_key() is None


PAGING = [
    ("a int PRIMARY KEY", "", "t_pkey"),
    ("a int", "CREATE UNIQUE INDEX i ON app.t (a)", None),
    ("a int NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a)", "i"),
    ("a int NOT NULL", "CREATE INDEX i ON app.t (a)", None),
    ("a int NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a) WHERE a > 0", None),
    ("a int NOT NULL", "CREATE UNIQUE INDEX i ON app.t ((a + 1))", None),
    ("a int NOT NULL UNIQUE DEFERRABLE", "", None),
    ("a int PRIMARY KEY DEFERRABLE, b int NOT NULL UNIQUE", "", "t_b_key"),
    ("a int4range NOT NULL, EXCLUDE USING gist (a WITH =)", "", None),
    ("a int NOT NULL, b int NOT NULL UNIQUE, PRIMARY KEY (a, b)", "", "t_pkey"),
    ("a int NOT NULL, b int NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a, b DESC)", None),
    ("a int NOT NULL, b int NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a DESC, b DESC)", "i"),
    ("a int NOT NULL, b int NOT NULL, UNIQUE (a, b), UNIQUE (b)", "", "t_b_key"),
    ("a text NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a text_pattern_ops)", None),
    ("a int NOT NULL", "CREATE UNIQUE INDEX i ON app.t (a oid_ops)", None),
    ("a varchar(9) NOT NULL UNIQUE", "", "t_a_key"),
    ("a cidr NOT NULL UNIQUE", "", "t_a_key"),
    ("a app.mood NOT NULL UNIQUE", "", "t_a_key"),
    ("a app.mark NOT NULL UNIQUE", "", "t_a_key"),
    ("a int[] NOT NULL UNIQUE", "", "t_a_key"),
    ("a int NOT NULL, b int, UNIQUE (a) INCLUDE (b)", "", "t_a_b_key"),
    ("a int", "", None),
]


@pytest.mark.parametrize(("columns", "index", "chosen"), PAGING)
async def test_the_key_to_page_by(table: Callable[..., Any], columns: str, index: str, chosen: str | None) -> None:
    found = await table(f"""
        CREATE TYPE app.mood AS ENUM ('good', 'bad');
        CREATE DOMAIN app.mark AS varchar(9);
        CREATE TABLE app.t ({columns});
        {index};
    """)
    key = found.paging_key()
    assert (key.name if key else None) == chosen


# ----------------------------------------------------------------------------------------- constraints


async def test_checks_count_how_often_they_name_a_column(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (a int, b text, c int,
            CONSTRAINT counted CHECK (a > 0 AND lower(b) <> 'a' AND a < 100),
            CONSTRAINT confusing CHECK (b <> '{VAR :varno 1 :varattno 1 :vartype 23 }' AND c > 0),
            CONSTRAINT named CHECK ((ROW(c, b)).f1 > 0 AND tableoid <> 0),
            CONSTRAINT whole CHECK (t.* IS NOT NULL) NO INHERIT);
        ALTER TABLE app.t ADD CONSTRAINT unproven CHECK (c > 9) NOT VALID;
        COMMENT ON CONSTRAINT counted ON app.t IS 'why';
    """)
    counted = {
        name: found.constraint(name).expression_references for name in ("counted", "confusing", "named", "whole")
    }
    assert counted == {
        "counted": {"a": 2, "b": 1}, "confusing": {"b": 1, "c": 1},
        "named": {"c": 1, "b": 1, "tableoid": 1}, "whole": {WHOLE_ROW: 1},
    }  # fmt: skip
    assert found.constraint("counted").comment == "why"
    assert found.constraint("counted").columns == ("a", "b")
    assert found.constraint("whole").no_inherit
    assert not found.constraint("unproven").validated
    assert found.constraint("unproven").definition == "CHECK ((c > 9)) NOT VALID"


async def test_foreign_keys_are_told_from_both_sides(tables: Callable[..., Any]) -> None:
    child = QName("app", "child")
    catalog = await tables(
        """
        CREATE TABLE app.t (a int, b int, boss int, PRIMARY KEY (a, b), UNIQUE (boss));
        ALTER TABLE app.t ADD CONSTRAINT own FOREIGN KEY (boss) REFERENCES app.t (boss);
        CREATE TABLE app.child (x int, y int,
            CONSTRAINT up FOREIGN KEY (y, x) REFERENCES app.t (a, b) ON DELETE CASCADE);
        CREATE TABLE app.parts (a int CONSTRAINT one REFERENCES app.t (boss)) PARTITION BY LIST (a);
        CREATE TABLE app.part PARTITION OF app.parts FOR VALUES IN (1);
        """,
        T,
        child,
    )
    table, other = catalog.tables
    up = other.constraint("up")
    assert (up.type, up.columns, up.references, up.referenced_columns) == ("f", ("y", "x"), T, ("a", "b"))
    assert up.definition == "FOREIGN KEY (y, x) REFERENCES app.t(a, b) ON DELETE CASCADE"
    assert (up.table, up.index) == (None, None)
    assert {(one.name, one.table, one.index) for one in table.incoming} == {
        ("own", T, "t_boss_key"), ("up", child, "t_pkey"), ("one", QName("app", "parts"), "t_boss_key"),
    }  # fmt: skip
    assert other.incoming == ()


# -------------------------------------------------------------------------------------------- triggers


async def test_triggers_are_told_in_all_their_parts(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (
            a int, b int, c int, "odd name" int, "x""y" int, suppress_redundant_updates_trigger int);
        CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog
            AS 'BEGIN NEW.B := NEW."odd name" + NEW."x""y"; RETURN NEW; /* abc */ END';
        CREATE TRIGGER one BEFORE INSERT OR UPDATE OF a, c ON app.t FOR EACH ROW WHEN (NEW.b > 0)
            EXECUTE FUNCTION app.f();
        CREATE TRIGGER two AFTER UPDATE ON app.t FOR EACH ROW WHEN (OLD.c <> NEW.a) EXECUTE FUNCTION app.f();
        CREATE TRIGGER three AFTER TRUNCATE OR DELETE ON app.t EXECUTE FUNCTION app.f();
        CREATE CONSTRAINT TRIGGER four AFTER INSERT ON app.t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION app.f();
        CREATE TRIGGER five BEFORE UPDATE ON app.t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
            EXECUTE FUNCTION suppress_redundant_updates_trigger();
        ALTER TABLE app.t ENABLE ALWAYS TRIGGER two, DISABLE TRIGGER three;
        COMMENT ON TRIGGER one ON app.t IS 'osc:00001_x';
    """)
    triggers = {trigger.name: trigger for trigger in found.triggers}
    assert set(triggers) == {"one", "two", "three", "four", "five"}
    one, two, three, four, five = (triggers[name] for name in ("one", "two", "three", "four", "five"))
    assert (one.before, one.row, one.events) == (True, True, ("insert", "update"))
    assert (one.update_of, one.condition_uses, one.enabled) == (("a", "c"), ("b",), "O")
    assert (one.ours, two.ours, four.constraint, one.constraint) == (True, False, True, False)
    assert one.function == QName("app", "f")
    assert one.body_mentions == ("b", "odd name", 'x"y')
    assert (two.before, two.condition_uses, two.enabled) == (False, ("a", "c"), "A")
    assert (three.row, three.events, three.enabled) == (False, ("delete", "truncate"), "D")
    assert (five.condition_uses, five.body_mentions) == ((), ())
    assert one.function_hash == two.function_hash != five.function_hash
    assert four.definition.startswith("CREATE CONSTRAINT TRIGGER four AFTER INSERT ON app.t DEFERRABLE")


async def test_a_function_commented_as_ours_makes_the_trigger_ours_and_its_settings_count(
    table: Callable[..., Any],
) -> None:
    found = await table("""
        CREATE TABLE app.t (a int);
        CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER one BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f();
        COMMENT ON FUNCTION app.f() IS 'osc:00001_x';
    """)
    [before] = found.triggers
    assert before.ours
    [after] = (await table("ALTER FUNCTION app.f() SET search_path = pg_catalog")).triggers
    assert after.function_hash != before.function_hash


# ------------------------------------------------------------------------------------------ dependents


async def test_every_kind_of_dependent_is_found_with_the_columns_it_uses(
    table: Callable[..., Any],
) -> None:
    found = await table("""
        CREATE TABLE app.t (id serial PRIMARY KEY, a int, b int, c int, gone int,
            g int GENERATED ALWAYS AS (a + b) STORED);
        ALTER TABLE app.t DROP COLUMN gone;
        CREATE VIEW app.v AS SELECT a FROM app.t WHERE b > 0;
        CREATE VIEW app."odd ""view"" x" AS SELECT count(*) AS n FROM app.t;
        CREATE VIEW app.indirect AS SELECT * FROM app.v;
        CREATE MATERIALIZED VIEW app.m AS SELECT c FROM app.t;
        CREATE TABLE app.log (id int DEFAULT nextval('app.t_id_seq'), entry app.t, entries app.t[]);
        CREATE RULE r AS ON DELETE TO app.t WHERE OLD.a = 1 DO ALSO INSERT INTO app.log VALUES (OLD.c);
        CREATE RULE far AS ON DELETE TO app.log DO ALSO DELETE FROM app.t WHERE t.b = 1;
        CREATE POLICY mine ON app.t USING (c > 0);
        CREATE POLICY "far one" ON app.log USING (EXISTS (SELECT FROM app.t WHERE t.a = log.id));
        CREATE STATISTICS app.s ON a, (b + 1) FROM app.t;
        CREATE FUNCTION app.f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(a) FROM app.t; END;
        CREATE FUNCTION app.g() RETURNS SETOF app.t LANGUAGE sql AS 'SELECT * FROM app.t';
    """)
    told = {(one.kind, one.name, one.columns) for one in found.dependents}
    assert told == {
        ("view", "app.v", ("a", "b")),
        ("view", 'app."odd ""view"" x"', ()),
        ("materialized view", "app.m", ("c",)),
        ("rule", "r ON app.t", ("a", "c")),
        ("rule", "far ON app.log", ("b",)),
        ("policy", "mine ON app.t", ("c",)),
        ("policy", '"far one" ON app.log', ("a",)),
        ("generated column", "app.t.g", ("a", "b")),
        ("statistics", "app.s", ("a", "b")),
        ("function", "app.f()", ("a",)),
        ("function", "app.g()", ()),
        ("column default", "app.log.id", ("id",)),
        ("other", "app.log.entry", ()),
        ("other", "app.log.entries", ()),
    }


async def test_own_parts_are_no_dependents(table: Callable[..., Any]) -> None:
    found = await table("""
        CREATE TABLE app.t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text DEFAULT 'x' UNIQUE CHECK (a <> ''));
        CREATE TABLE app.child (t int REFERENCES app.t);
        CREATE TABLE app.heir () INHERITS (app.t);
        CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER one BEFORE UPDATE OF a ON app.t FOR EACH ROW WHEN (NEW.a <> '') EXECUTE FUNCTION app.f();
        CREATE PUBLICATION p FOR TABLE app.t;
    """)
    assert found.dependents == ()
    assert [trigger.name for trigger in found.triggers] == ["one"]


# ---------------------------------------------------------------------------------------- publications


async def test_publications_are_found_however_they_name_the_table(
    table: Callable[..., Any], postgres_version: int
) -> None:
    found = await table("""
        CREATE TABLE app.t (id int PRIMARY KEY, a int, b int);
        CREATE TABLE app.other (id int);
        CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert');
        CREATE PUBLICATION plain FOR TABLE app.t;
        CREATE PUBLICATION elsewhere FOR TABLE app.other;
    """)
    assert [(one.name, one.columns, one.updates) for one in found.publications] == [
        ("everything", None, False), ("plain", None, True)]  # fmt: skip
    assert not found.subscribed
    if postgres_version < 15:
        return
    found = await table("""
        DROP PUBLICATION everything, plain;
        CREATE PUBLICATION "by schema" FOR TABLES IN SCHEMA app;
        CREATE PUBLICATION "by both" FOR TABLES IN SCHEMA app, TABLE app.t WHERE (id > 1);
        CREATE PUBLICATION part FOR TABLE app.t (id, b) WHERE (id > 0);
    """)
    by_both, by_schema, part = found.publications
    assert (by_both.name, by_both.row_filter_uses) == ("by both", ("id",))
    assert (by_schema.name, by_schema.columns, by_schema.row_filter_uses) == ("by schema", None, ())
    assert (part.name, part.columns, part.row_filter_uses) == ("part", ("id", "b"), ("id",))


async def test_a_table_that_a_subscription_writes_is_told(
    dsn: str, run: Callable[[str], None], connect: Connect
) -> None:
    run("CREATE TABLE app.t (id int PRIMARY KEY)")
    conn = connect()
    conn.execute(
        "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    )
    try:
        conn.execute("INSERT INTO pg_subscription_rel SELECT oid, 'app.t'::regclass, 'r', NULL FROM pg_subscription"
                     " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())")  # fmt: skip
        [table] = (await read(dsn, T)).tables
        assert table.subscribed
    finally:
        conn.execute("DROP SUBSCRIPTION s")


# ----------------------------------------------------------------------------------------------- names


ODD = QName('we.ird "s USING x', "t able. USING (\"' %s")


async def test_odd_names_come_through_unharmed(tables: Callable[..., Any]) -> None:
    catalog = await tables(
        f"""
        CREATE SCHEMA "we.ird ""s USING x";
        CREATE TABLE {ODD.sql} ("a b" int, "c""d" text, "{{VAR :varno 1 :varattno 1 " int, "%s" int,
            CONSTRAINT "ch USING eck" CHECK ("a b" > 0 AND (ROW("c""d")).f1 <> ' USING '));
        CREATE INDEX "i ON x USING y" ON {ODD.sql} ("a b", ("c""d" || ' USING ')) WHERE "a b" <> 3;
        CREATE UNIQUE INDEX plain ON {ODD.sql} ("%s");
        """,
        ODD,
    )
    [found] = catalog.tables
    assert [column.name for column in found.columns] == ["a b", 'c"d', "{VAR :varno 1 :varattno 1 ", "%s"]
    index = found.index("i ON x USING y")
    assert index.after_on.startswith('USING btree ("a b", (("c""d" || \' USING \'::text)))')
    assert index.expression_references == {"a b": 1, 'c"d': 1}
    assert found.index("plain").after_on == 'USING btree ("%s")'
    assert found.constraint("ch USING eck").expression_references == {"a b": 1, 'c"d': 1}
    assert catalog.relation_names[ODD.schema] == ("i ON x USING y", "plain", ODD.name)
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


async def test_what_is_missing_is_told_with_the_nearest_name(tables: Callable[..., Any]) -> None:
    names = [QName("public", "users"), QName("app", "Orders"), QName("app", "custmers"), QName("app", "orders"),
             QName("nowhere", "zzz"), QName("public", "order_item")]  # fmt: skip
    catalog = await tables(
        """
        CREATE TABLE app.users (id int);
        CREATE TABLE app.orders (id int);
        CREATE TABLE app.customers (id int);
        CREATE VIEW app.order_items AS SELECT 1 AS a;
        """,
        *names,
    )
    assert [table.name for table in catalog.tables] == [QName("app", "orders")]
    assert catalog.missing == tuple(name for name in names if name != QName("app", "orders"))
    assert catalog.nearest == {
        "public.users": "app.users", "app.Orders": "app.orders", "app.custmers": "app.customers",
        "public.order_item": "app.order_items",
    }  # fmt: skip


async def test_tables_come_in_the_order_asked_and_once_each(tables: Callable[..., Any]) -> None:
    b, a = QName("app", "b"), QName("app", "a")
    catalog = await tables("CREATE TABLE app.a (x int); CREATE TABLE app.b (y int)", b, a, b)
    assert [table.name for table in catalog.tables] == [b, a]
    assert [column.name for table in catalog.tables for column in table.columns] == ["y", "x"]
    assert set(catalog.relation_names["app"]) == {"a", "b"}


async def test_no_tables_at_all_is_a_catalog_too(tables: Callable[..., Any], dsn: str) -> None:
    catalog = await read(dsn)
    assert (catalog.tables, catalog.missing, catalog.relation_names) == ((), (), {})


async def test_names_are_qualified_whatever_the_search_path(dsn: str, run: Callable[[str], None]) -> None:
    run("CREATE TYPE app.mood AS ENUM ('good'); CREATE TABLE app.t (a app.mood DEFAULT 'good')")
    [table] = (await read(dsn, T, options="-c search_path=app")).tables
    assert (table.columns[0].type, table.columns[0].default) == ("app.mood", "'good'::app.mood")


# ----------------------------------------------------------------------------------------------- locks


async def test_reading_keeps_no_lock_and_no_transaction(dsn: str, run: Callable[[str], None]) -> None:
    run("CREATE TABLE app.t (a int CHECK (a > 0), b int GENERATED ALWAYS AS (a) STORED); CREATE INDEX ON app.t (a)")
    seen: list[tuple[Any, ...]] = []
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        fetch = reading._fetch

        async def watched(conn: Any, name: str, **parameters: Any) -> Any:
            rows = await fetch(conn, name, **parameters)
            cursor = await conn.execute("""
                SELECT relation::regclass::text, mode FROM pg_locks
                WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'
                    AND (relation >= 16384 OR mode <> 'AccessShareLock')""")
            seen.extend(await cursor.fetchall())
            return rows

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "_fetch", watched)
            await read_catalog(conn, [T])
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert seen == []


async def test_behind_a_strong_lock_it_waits_no_longer_than_lock_timeout(
    dsn: str, run: Callable[[str], None], connect: Connect
) -> None:
    run("CREATE TABLE app.t (a int DEFAULT 1); CREATE TABLE app.u (a int PRIMARY KEY)")
    holder = connect(autocommit=False)
    holder.execute("LOCK TABLE app.t, app.u IN ACCESS EXCLUSIVE MODE")
    [table] = (await read(dsn, T, options="-c lock_timeout=50ms")).tables
    assert table.columns[0].default == "1"
    with pytest.raises(errors.LockNotAvailable):
        await read(dsn, QName("app", "u"), options="-c lock_timeout=50ms")


async def test_a_table_changed_while_it_is_read_is_read_again(
    dsn: str, run: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE app.t (a int, b int); CREATE INDEX stays ON app.t (a); CREATE INDEX goes ON app.t (b)")
    fetch = reading._fetch
    changes = iter(["DROP INDEX app.goes", "ALTER TABLE app.t ADD c int"])

    async def disturbed(conn: Any, name: str, **parameters: Any) -> Any:
        if name == "indexes":
            run(next(changes))
        return await fetch(conn, name, **parameters)

    monkeypatch.setattr(reading, "_fetch", disturbed)
    [table] = (await read(dsn, T)).tables
    assert [index.name for index in table.indexes] == ["stays"]
    assert list(changes) == []


async def test_a_table_dropped_while_it_is_read_is_missing(
    dsn: str, run: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE app.t (a int CHECK (a > 0))")
    fetch = reading._fetch

    async def disturbed(conn: Any, name: str, **parameters: Any) -> Any:
        if name == "constraints":
            run("DROP TABLE app.t")
        return await fetch(conn, name, **parameters)

    monkeypatch.setattr(reading, "_fetch", disturbed)
    assert (await read(dsn, T)).missing == (T,)


async def test_a_table_that_never_rests_is_given_up(
    dsn: str, run: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE app.t (a int); CREATE INDEX i ON app.t (a)")
    fetch = reading._fetch

    async def disturbed(conn: Any, name: str, **parameters: Any) -> Any:
        if name == "indexes":
            run("DROP INDEX app.i; CREATE INDEX i ON app.t (a)")
        return await fetch(conn, name, **parameters)

    monkeypatch.setattr(reading, "_fetch", disturbed)
    with pytest.raises(errors.InternalError, match="being changed"):
        await read(dsn, T)


def test_text_that_is_no_index_definition_is_refused() -> None:
    with pytest.raises(ValueError, match="not an index definition"):
        after_on("SELECT 1")
