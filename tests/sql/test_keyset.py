"""Paging by a unique key: whatever its types, pages partition the table exactly, and each is a range of the index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import RawCursor

from osc.errors import Refused
from osc.executor.backfill.session import WALK_THE_KEY
from osc.program import FillStep, Phase, VerifyStep
from tests.sync.rig import AS_OSC, ByHand, make_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.postgres import Connect

pytestmark = pytest.mark.either_version

UPPER = "- change_column: {table: t, column: s, to: n, type: text, up: upper(s), down: n}"
TRICKY = [
    "",
    " ",
    "a",
    "A",
    "b",
    "ä",
    "ß",
    "NULL",
    '"',
    "'",
    "\\",
    "{}",
    "a,b",
    "a b",
    "\n",
    "😀",
    "zz",
    "Z",
    "_",
    "\t",
    "aa",
]

# Key columns, and SQL for rows of values that are easily lost on the way through a text.
KEYS: dict[str, tuple[str, str]] = {
    "int": ("k int", "VALUES (-2147483648), (-1), (0), (1), (2147483647)"),
    "bigint": ("k bigint", "VALUES (-9223372036854775808), (-5), (0), (9007199254740993), (9223372036854775807)"),
    "text": ("k text", "SELECT unnest(%(tricky)s::text[])"),
    "text C": ('k text COLLATE "C"', "SELECT unnest(%(tricky)s::text[])"),
    "text POSIX, varchar": ('k varchar(20) COLLATE "POSIX"', "SELECT unnest(%(tricky)s::text[])"),
    "char": ("k char(5)", "VALUES ('a'), ('ab'), (''), ('A'), ('a b')"),
    "name": ("k name", "VALUES ('a'), ('ab'), (''), ('A')"),
    "internal char": ('k "char"', "VALUES ('a'::\"char\"), ('b'), (''), ('\\'), ('Z')"),
    "uuid": ("k uuid", "SELECT md5(i::text)::uuid FROM generate_series(1, 40) AS i"),
    "timestamptz": (
        "k timestamptz",
        (  # the hour that comes twice, the ends of the calendar, and one microsecond between two
        "SELECT unnest('{infinity,-infinity,2024-01-01 00:00:00.000001,2024-01-01 00:00:00.000002,0044-03-15 12:00 BC,"
        "4713-01-01 00:00 BC,294276-12-31 23:59:59.999999,2024-10-27 02:30+02,2024-10-27 02:30+01}'::timestamptz[])"
        ),
    ),
    "timestamp": ("k timestamp(3)", "VALUES ('infinity'::timestamp), ('-infinity'), ('0001-01-01 BC'), ('2024-01-01 00:00:00.001')"),
    "date": ("k date", "VALUES ('infinity'::date), ('-infinity'), ('0001-01-01 BC'), ('0001-01-01'), ('5874897-12-31')"),
    "time": ("k time", "VALUES ('00:00'::time), ('24:00'), ('23:59:59.999999')"),
    "timetz": ("k timetz", "VALUES ('00:00+00'::timetz), ('01:00+01'), ('00:00-01')"),
    "interval": ("k interval", "VALUES ('1 day'::interval), ('25 hours'), ('-1 mon'), ('1 year -1 sec'), ('0')"),
    "numeric": ("k numeric", "VALUES ('NaN'::numeric), ('Infinity'), ('-Infinity'), (0), (-1.50), (1e-300), (1e300), (1.5)"),
    "numeric(10,2)": ("k numeric(10,2)", "VALUES ('NaN'::numeric), (0), (-1.5), (1.25), (99999999.99)"),
    "float8": ("k float8", "VALUES ('NaN'::float8), ('Infinity'), ('-Infinity'), ('-0'), (0.1), (5e-324), (1.7976931348623157e308)"),
    "real": ("k real", "VALUES ('NaN'::real), ('Infinity'), ('-0'), (0.1), (0.3)"),
    "bytea": ("k bytea", "VALUES ('\\x'::bytea), ('\\x00'), ('\\x0000'), ('\\xff'), ('\\x5c27')"),
    "boolean": ("k boolean", "VALUES (true), (false)"),
    "enum": ("k mood", "VALUES ('sad'::mood), ('ok'), ('a b,c'), ('happy')"),
    "domain": ("k posint", "SELECT i FROM generate_series(1, 20) AS i"),
    "array": ("k int[]", "VALUES ('{}'::int[]), ('{1}'), ('{1,2}'), ('{NULL}'), ('{-1}')"),
    "text array": ("k text[]", "VALUES (ARRAY['a,b', '\"']), (ARRAY['NULL']), (ARRAY[NULL]::text[]), (ARRAY['{}'])"),
    "range": ("k int4range", "VALUES ('empty'::int4range), ('[1,5)'), ('(,)'), ('[1,)'), ('(,1)')"),
    "inet": ("k inet", "VALUES ('10.0.0.1'::inet), ('10.0.0.1/8'), ('::1'), ('10.0.0.0/8')"),
    "macaddr": ("k macaddr", "VALUES ('08:00:2b:01:02:03'::macaddr), ('ff:ff:ff:ff:ff:ff')"),
    "bits": ("k varbit", "VALUES (B'1'), (B'10'), (B''), (B'01')"),
    "oid": ("k oid", "VALUES (0::oid), (4294967295), (5)"),
    "lsn": ("k pg_lsn", "VALUES ('0/0'::pg_lsn), ('16/B374D848'), ('FFFFFFFF/FFFFFFFF')"),
    "jsonb": ("k jsonb", "VALUES ('1'::jsonb), ('\"a\"'), ('{\"a\": [1, null]}'), ('[]'), ('null')"),
    "composite type": ("k pt", "VALUES (ROW(1, 'a,b')::pt), (ROW(-1, NULL)), (ROW(1, '\"'))"),
    "two columns": ("a int, b text", "SELECT i, w FROM generate_series(-2, 2) AS i, unnest(%(tricky)s::text[]) AS w"),
    "two texts": ('a text, b text COLLATE "C"', "SELECT v, w FROM unnest(%(tricky)s::text[]) AS v, unnest(%(tricky)s::text[]) AS w"),
    "four columns": (
        "a boolean, b numeric, c timestamptz, d uuid",
        "SELECT i % 2 = 0, i % 3, 'epoch'::timestamptz + (i % 5) * interval '1 us', md5(i::text)::uuid FROM generate_series(1, 60) AS i",
    ),
    "odd names": ('"select" int, "a b" text, "w" int, "moved" int', "SELECT i % 3, 'x' || i % 4, i, 0 FROM generate_series(1, 40) AS i"),
}  # fmt: skip


@pytest.fixture
def admin(dsn: str, connect: Connect) -> psycopg.Connection[Any]:
    make_state(dsn)
    conn = connect(options=AS_OSC.replace("search_path=pg_catalog", "search_path=public"))
    conn.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'a b,c', 'happy')")
    conn.execute("CREATE DOMAIN posint AS int CHECK (VALUE > 0)")
    conn.execute("CREATE TYPE pt AS (x int, y text)")
    return conn


@pytest.fixture
def osc_conn(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True, options=f"{AS_OSC} -c osc.writer=backfill") as conn:
        conn.execute(WALK_THE_KEY)
        yield conn


def table(admin: psycopg.Connection[Any], columns: str, values: str, *, index: str = "") -> list[str]:
    """Make the table with its key and return the key's columns."""
    admin.execute("DROP TABLE IF EXISTS t")
    admin.execute(f"CREATE TABLE t ({columns}, s text)")
    names = [row[0] for row in admin.execute("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 't'::regclass"
                                             " AND attnum > 0 AND attname <> 's' ORDER BY attnum")]  # fmt: skip
    params = {"tricky": TRICKY} if "%(" in values else None
    admin.execute(f"INSERT INTO t ({', '.join(names)}) {values}", params)
    admin.execute("UPDATE t SET s = 'a'")
    if index:
        for name in names:
            admin.execute(f"ALTER TABLE t ALTER COLUMN {name} SET NOT NULL")
        admin.execute(f"CREATE UNIQUE INDEX ON t ({index})")
    else:
        admin.execute(f"ALTER TABLE t ADD PRIMARY KEY ({', '.join(names)})")
    return names


def fill(conn: psycopg.Connection[Any], step: FillStep, limit: int) -> list[tuple[int, int]]:
    """Fill the table page by page; return of each batch how many rows it looked at and how many it filled."""
    raw = RawCursor(conn)
    end = raw.execute(step.end).fetchone()
    ((number,),) = conn.execute(
        "INSERT INTO osc.slice (change, step, epoch, hi) VALUES (0, 'f', 1, %s) RETURNING slice", [end and end[0]]
    ).fetchall()
    pages: list[tuple[int, int]] = []
    cursor, finished = None, False
    while not finished:
        row = raw.execute(step.batch, [cursor, end and end[0], limit, number, 1, len(pages), 0]).fetchone()
        assert row is not None
        cursor, finished = row[0], row[1]
        pages.append((row[2], row[3]))
        assert len(pages) < 2000
    return pages


def verified(conn: psycopg.Connection[Any], step: VerifyStep, limit: int) -> int:
    """Page through the verification; return how many rows it looked at, all of which must be in step."""
    seen, last = 0, None
    while True:
        row = RawCursor(conn).execute(step.count, [last, limit, None]).fetchone()
        assert row is not None
        assert row[1] == 0
        seen, last = seen + row[0], row[2]
        if row[0] < limit:
            return seen


def partitions(dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any], limits: list[int]) -> None:
    """Assert that pages of each limit look at every row once, fill what they look at, and are verified the same way."""
    change = ByHand(dsn, UPPER).expand().dual_write()
    (step,), (verify,) = change.steps(Phase.BACKFILL, FillStep), change.steps(Phase.BACKFILL, VerifyStep)
    change.close()
    ((total,),) = admin.execute("SELECT count(*) FROM t").fetchall()
    for limit in limits:
        with admin.transaction():
            admin.execute("SET LOCAL osc.writer = 'backfill'")
            admin.execute("UPDATE t SET n = NULL")
        pages = fill(osc_conn, step, limit)
        assert [rows for rows, _ in pages] == [filled for _, filled in pages], limit
        assert sum(rows for rows, _ in pages) == total, limit
        assert verified(osc_conn, verify, limit) == total, limit


@pytest.mark.parametrize("kind", KEYS)
def test_pages_partition_the_table_exactly(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any], kind: str
) -> None:
    table(admin, *KEYS[kind])
    partitions(dsn, admin, osc_conn, [1, 3, 1000] if "two texts" not in kind else [7, 1000])


@pytest.mark.parametrize("index", ["a DESC", "a DESC, b DESC", 'b COLLATE "C", a', "b, a"])
def test_a_unique_index_pages_as_a_primary_key_does(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any], index: str
) -> None:
    both = "b" in index
    values = "SELECT i, w FROM generate_series(-2, 2) AS i, unnest(%(tricky)s::text[]) AS w" if both else (
        "SELECT i, i::text FROM generate_series(-20, 20) AS i")  # fmt: skip
    table(admin, "a int, b text", values, index=index)
    partitions(dsn, admin, osc_conn, [4, 1000])


@pytest.mark.parametrize("index", ["k", 'k COLLATE "C"', "k DESC"])
def test_a_key_of_a_collation_that_calls_different_texts_equal_is_paged_as_its_index_orders(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any], index: str
) -> None:
    """F58: by the column's collation a page of an index in "C" would see a part of the rows and call it all."""
    try:
        admin.execute("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server is built without ICU")
    words = "{a,B,c,_,Z,y,e1,ä,ö}" if "COLLATE" not in index else "{a,A,b,B,c,C,_,Z,z,ä,Ä}"
    table(admin, "k text COLLATE ci", f"SELECT unnest('{words}'::text[])", index=index)
    partitions(dsn, admin, osc_conn, [1, 2, 1000])


@pytest.mark.parametrize(
    ("columns", "index"),
    [("a int, b int", "(a) WHERE b > 0"), ("a int", "(abs(a))"), ("a int, b int", "(a, b DESC)")],
)
def test_what_cannot_be_paged_by_is_refused(dsn: str, admin: psycopg.Connection[Any], columns: str, index: str) -> None:
    admin.execute(f"CREATE TABLE t ({columns}, s text)")
    admin.execute("ALTER TABLE t ALTER COLUMN a SET NOT NULL")
    admin.execute(f"CREATE UNIQUE INDEX ON t {index}")
    with pytest.raises(Refused) as refused:
        ByHand(dsn, UPPER)
    assert "C120" in {finding.code for finding in refused.value.findings}


def test_a_type_whose_operators_live_outside_pg_catalog_is_not_paged_by(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any]
) -> None:
    """F61: citext and its like. Under search_path = pg_catalog ``>`` would be that of text, the index order another."""
    admin.execute("""CREATE TYPE ci;
CREATE FUNCTION ci_in(cstring) RETURNS ci LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION ci_out(ci) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE ci (INPUT = ci_in, OUTPUT = ci_out, INTERNALLENGTH = VARIABLE, STORAGE = extended, CATEGORY = 'S', COLLATABLE = true);
CREATE CAST (ci AS text) WITHOUT FUNCTION AS IMPLICIT; CREATE CAST (text AS ci) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION ci_cmp(ci, ci) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT bttextcmp(lower($1::text), lower($2::text))';""")
    for name, operator in (("lt", "<"), ("le", "<="), ("eq", "="), ("ge", ">="), ("gt", ">")):
        admin.execute(f"CREATE FUNCTION ci_{name}(ci, ci) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT"
                      f" AS 'SELECT lower($1::text) {operator} lower($2::text)'")  # fmt: skip
        admin.execute(f"CREATE OPERATOR {operator} (FUNCTION = ci_{name}, LEFTARG = ci, RIGHTARG = ci)")
    admin.execute("CREATE OPERATOR CLASS ci_ops DEFAULT FOR TYPE ci USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,"
                  " OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 ci_cmp(ci, ci)")  # fmt: skip
    table(admin, "k ci", "SELECT w::ci FROM unnest('{b,A,c,B1,C1,a1,_,Z,y,Y1}'::text[]) AS w")
    with pytest.raises(Refused) as refused:
        partitions(dsn, admin, osc_conn, [1, 3])
    assert "C120" in {finding.code for finding in refused.value.findings}


def test_pages_of_random_keys_partition_random_tables(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any]
) -> None:
    table(admin, "a int, b text, c numeric, d timestamptz", "SELECT 0, '', 0, 'epoch'")
    change = ByHand(dsn, UPPER).expand().dual_write()
    (step,), (verify,) = change.steps(Phase.BACKFILL, FillStep), change.steps(Phase.BACKFILL, VerifyStep)
    change.close()
    text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=3)
    number = st.sampled_from(["NaN", "Infinity", "-Infinity"]) | st.decimals(allow_nan=False, allow_infinity=False).map(
        str
    )
    moment = st.sampled_from(["infinity", "-infinity", "0001-01-01 BC"]) | st.datetimes().map(lambda one: f"{one}+00")
    key = st.tuples(st.integers(-2, 2) | st.integers(-(2**31), 2**31 - 1), text, number, moment)

    @settings(max_examples=40, deadline=None, derandomize=True, database=None,
              suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
    @given(st.lists(key, max_size=25), st.integers(1, 6))
    def holds(keys: list[tuple[int, str, str, str]], limit: int) -> None:
        admin.execute("TRUNCATE t")
        with admin.transaction():
            admin.execute("SET LOCAL osc.writer = 'backfill'")
            with admin.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO t VALUES (%s, %s, %s::numeric, %s::timestamptz, 'a') ON CONFLICT DO NOTHING", keys
                )
        ((total,),) = admin.execute("SELECT count(*) FROM t").fetchall()
        pages = fill(osc_conn, step, limit)
        assert [rows for rows, _ in pages] == [filled for _, filled in pages]
        assert sum(rows for rows, _ in pages) == total == verified(osc_conn, verify, limit)

    holds()


@pytest.mark.parametrize("columns", ["k bigint", "a int, b text, c bigint"])
def test_every_statement_reads_one_range_of_the_index_and_no_more(
    dsn: str, admin: psycopg.Connection[Any], osc_conn: psycopg.Connection[Any], columns: str
) -> None:
    """On 200,000 rows, in the middle: no scan of the table, no sort but of the page itself."""
    values = "SELECT i % 7, 'w' || i % 100, i" if "," in columns else "SELECT i"
    names = table(admin, columns, f"{values} FROM generate_series(1, 200000) AS i")
    change = ByHand(dsn, UPPER).expand().dual_write()
    (step,), (verify,) = change.steps(Phase.BACKFILL, FillStep), change.steps(Phase.BACKFILL, VerifyStep)
    change.close()
    admin.execute("VACUUM (ANALYZE) t")
    ((number,),) = osc_conn.execute(
        "INSERT INTO osc.slice (change, step, epoch) VALUES (0, 'f', 1) RETURNING slice"
    ).fetchall()
    order = ", ".join(names)
    as_key = f"ARRAY[{', '.join(f'{name}::text' for name in names)}]"
    (lo, hi), (_, end) = ([row[0] for row in admin.execute(
        f"SELECT {as_key} FROM t ORDER BY {order} OFFSET {at} LIMIT 500").fetchall()][:: 499] for at in (100_000, 199_500))  # fmt: skip
    statements = {
        "batch": (step.batch, [lo, end, 500, number, 1, 0, 0]),
        "skipping": (step.skipping, [lo, end, 500, number, 1, 0, 0]),
        "revisit": (step.revisit, [lo, hi, 0, number, 1, 0, 1]),
        "pass_over": (step.pass_over, [lo, end, 1, number, 1, 0, "22000", "m"]),
        "end": (step.end, []),
        "count": (verify.count, [lo, 500, end]),
        "sample": (verify.sample, [lo, 500, end, 20]),
        "next_key": (verify.next_key, [lo, end]),
    }
    for name, (sql, params) in statements.items():
        with osc_conn.transaction(force_rollback=True):
            ((plan,),) = RawCursor(osc_conn).execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params).fetchall()
        for node in nodes(plan[0]["Plan"] if not isinstance(plan, str) else json.loads(plan)[0]["Plan"]):
            assert node["Node Type"] not in ("Seq Scan", "Bitmap Heap Scan") or node.get("Relation Name") != "t", (
                name,
                node,
            )
            if node.get("Relation Name") == "t" and "Scan" in node["Node Type"]:
                read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                assert read <= 600, (name, node)
            if node["Node Type"] == "Sort":
                assert node["Actual Rows"] <= 600, (name, node)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the plan and everything below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)
