"""Bad input B19 to B58 as plans: what the author writes, and the code of osc with the place where it is told.

Each row names the entry of the catalogue of bad input that it belongs to. Codes of reliability's list that osc merges are
listed under the code that osc gives.
"""

from __future__ import annotations

from dataclasses import dataclass

HEAD = "osc: 1\noperations:\n"


@dataclass(frozen=True)
class Row:
    """A plan, the exit status of lint and apply on it, and the finding: its code and ``line:column``."""

    number: str
    plan: str
    exit: int
    code: str
    place: str
    proof: bool = False
    """Only the proof on a temporary table tells, which apply makes and lint, which only reads, does not."""


def change(fields: str, table: str = "t", column: str = "a") -> str:
    """Return a plan that changes a column; its fields are on line 3."""
    return f"{HEAD}  - change_column: {{table: {table}, column: {column}, {fields}}}\n"


def add(fields: str, table: str = "t") -> str:
    """Return a plan that adds a column."""
    return f"{HEAD}  - add_column: {{table: {table}, {fields}}}\n"


def index(fields: str, table: str = "t") -> str:
    """Return a plan that creates an index."""
    return f"{HEAD}  - create_index: {{table: {table}, {fields}}}\n"


def up(text: str, kind: str = "bigint") -> str:
    """Return a plan whose ``up`` is this SQL, written as a block so that YAML leaves it alone."""
    block = "\n".join(" " * 8 + line for line in text.splitlines())
    return f"{HEAD}  - change_column:\n      table: t\n      column: a\n      to: n\n      type: {kind}\n      down: n::int\n      up: |\n{block}\n"  # noqa: E501


def paced(key: str) -> str:
    """Return a good plan with this pacing key on line 5."""
    return change("to: n, type: bigint") + f"backfill:\n  {key}\n"


COMPLY = "backfill:\n  require: [{ack: writers-comply}]\n"
LONG = "x" * 64
NAMES = {
    "B19 empty column": Row("B19", add('column: "", type: int'), 2, "V108", "3:36"),
    "B19 empty table": Row("B19", add("column: n, type: int", table='""'), 2, "V114", "3:25"),
    "B20 NUL in a name": Row("B20", add('column: "a\\0b", type: int'), 2, "P019", "3:36"),
    "B20 NUL in a table": Row("B20", add("column: n, type: int", table='"users\\0; x"'), 2, "P019", "3:25"),
    "B21 64 bytes": Row("B21", add(f"column: {LONG}, type: int"), 2, "V112", "3:36"),
    "B21 bytes, not letters": Row("B21", add(f"column: {'é' * 32}, type: int"), 2, "V112", "3:36"),
    "B21 new name": Row("B21", change(f"to: {LONG}, type: bigint"), 2, "V112", "3:46"),
    "B21 index name": Row("B21", index(f"name: {LONG}, columns: [a]"), 2, "V112", "3:36"),
    "B22 newline": Row("B22", add('column: "a\\nb", type: int'), 2, "V113", "3:36"),
    "B22 escape": Row("B22", add('column: "a\\eb", type: int'), 2, "P019", "3:36"),
    "B22 bidi": Row("B22", add('column: "a\\u202eb", type: int'), 2, "P019", "3:36"),
    "B23 three parts": Row("B23", add("column: n, type: int", table="a.b.c"), 2, "V114", "3:25"),
    "B23 wrong case": Row("B23", add("column: n, type: int", table="T"), 3, "C201", "3:18"),
    "B23 wrong case of a column": Row("B23", change("to: n, type: bigint", column="A"), 3, "C211", "3:31"),
    "B23 misspelt": Row("B23", add("column: n, type: int", table="pgbench_acounts"), 3, "C201", "3:18"),
}
OBJECTS = {
    "B24 missing": Row("B24", add("column: n, type: int", table="zzz"), 3, "C201", "3:18"),
    "B24 view": Row("B24", change("to: n, type: bigint", table="v"), 3, "C202", "3:21"),
    "B24 materialized view": Row("B24", change("to: n, type: bigint", table="m"), 3, "C202", "3:21"),
    "B24 sequence": Row("B24", add("column: n, type: int", table="counter"), 3, "C202", "3:18"),
    "B24 partition": Row("B24", change("to: n, type: bigint", table="part1"), 3, "C130", "3:21"),
    "B47 index of partitions": Row("B47", index("name: i, columns: [id]", table="parted"), 3, "C131", "2:1"),
    "B24 catalog": Row("B24", add("column: n, type: int", table="pg_catalog.pg_class"), 3, "C203", "3:18"),
    "B24 osc's own": Row("B24", add("column: n, type: int", table="osc.change"), 3, "C203", "3:18"),
    "B25 exists": Row("B25", add("column: c, type: int"), 3, "C210", "3:28"),
    "B25 exists with another type": Row("B25", add("column: b, type: int"), 3, "C210", "3:28"),
    "B25 new name is taken": Row("B25", change("to: c, type: bigint"), 3, "C210", "3:42"),
    "B25 system column": Row("B25", add("column: xmin, type: int"), 3, "C210", "3:28"),
    "B26 missing": Row("B26", change("to: n, type: bigint", column="zzz"), 3, "C211", "3:31"),
    "B26 system column": Row("B26", change("to: n, type: bigint", column="ctid"), 3, "C211", "3:31"),
    "B26 in a view": Row("B26", change("to: n, type: bigint", table="seen"), 3, "C218", "3:34"),
    "B26 generated": Row("B26", change("to: n, type: bigint", column="gen"), 3, "C213", "3:31"),
    "B26 primary key": Row("B26", change("to: n, type: bigint", column="id"), 3, "C215", "3:31"),
    "B26 read by a generated column": Row("B26", change("to: n, type: bigint", column="c"), 3, "C218", "3:31"),
    "B27 no such type": Row("B27", change("to: n, type: bigit"), 3, "C220", "3:49"),
    "B27 pseudo-type": Row("B27", change("to: n, type: record"), 2, "C220", "3:55"),
    "B27 trigger": Row("B27", add("column: n, type: trigger"), 2, "C220", "3:45"),
    "B27 serial": Row("B27", add("column: n, type: serial"), 2, "C220", "3:45"),
    "B27 varchar(0)": Row("B27", add("column: n, type: varchar(0)"), 3, "C220", "3:39"),
    "B27 numeric(2000)": Row("B27", add('column: n, type: "numeric(2000)"'), 3, "C220", "3:39"),
    "B27 second statement": Row("B27", add('column: n, type: "int; drop table t"'), 2, "C220", "3:45"),
    "B27 more than a type": Row("B27", add('column: n, type: "int DEFAULT 5"'), 3, "C220", "3:39"),
    "B27 another column": Row("B27", add('column: n, type: "int, ADD COLUMN evil int"'), 2, "C220", "3:45"),
    "B28 subquery": Row(
        "B28", add('column: n, type: int, default: {sql: "(SELECT 1)"}'), 3, "C222", "3:50", proof=True
    ),
    "B28 a column": Row("B28", add("column: n, type: int, default: {sql: a}"), 3, "C222", "3:50"),
    "B28 syntax": Row("B28", add('column: n, type: int, default: {sql: "1 +"}'), 3, "C222", "3:50"),
    "B28 wrong type": Row("B28", add("column: n, type: int, default: word"), 3, "C222", "3:50"),
    "B46 no key": Row("B46", change("to: n, type: bigint", table="nokey"), 3, "C120", "3:21"),
    "B47 inheritance": Row("B47", change("to: n, type: bigint", table="base"), 3, "C130", "3:21"),
    "B47 row security": Row("B47", change("to: n, type: bigint", table="secured"), 3, "C132", "3:21"),
    "B47 unlogged": Row("B47", change("to: n, type: bigint", table="fleeting"), 3, "C204", "3:21"),
    "B48 another index": Row("B48", index("name: indexed_idx, columns: [a]", table="indexed"), 3, "C241", "3:36"),
    "B48 name of a table": Row("B48", index("name: parent, columns: [a]"), 3, "C241", "3:30"),
    "B49 duplicates": Row("B49", index("name: twice_v, columns: [v], unique: true", table="twice"), 3, "V153", "1:1"),
    "B49 duplicates, gate given": Row(
        "B49", index("name: twice_v, columns: [v], unique: true", table="twice") + COMPLY, 3, "C242", "3:63"
    ),
    "B49 NULLs": Row("B49", f"{HEAD}  - set_not_null: {{table: twice, column: p}}\n", 3, "V153", "1:1"),
    "B49 NULLs, gate given": Row(
        "B49", f"{HEAD}  - set_not_null: {{table: twice, column: p}}\n{COMPLY}", 3, "C244", "3:34"
    ),
    "B50 33 columns of an index": Row(
        "B50", index("name: wide, columns: [" + ", ".join(["a"] * 33) + "]"), 3, "C245", "3:42"
    ),
    "B51 enum without a word": Row(
        "B51",
        change("to: n, type: public.mood, up: \"'angry'::public.mood\", down: word", column="word"),
        3,
        "C230",
        "3:71",
    ),
    "B52 trigger fires": Row("B52", change("to: n, type: bigint", table="watched"), 3, "C251", "1:1"),
    "B53 publication": Row("B53", change("to: n, type: bigint", table="published"), 3, "C260", "3:21"),
}
SQL = {
    "B29 second statement": Row("B29", up("a; drop table t"), 2, "V120", "9:11"),
    "B29 only a semicolon": Row("B29", up("a;"), 2, "V120", "9:11"),
    "B30 closes our bracket": Row("B30", up("1); drop table t; --"), 2, "V121", "9:11"),
    "B30 closes the generated column": Row("B30", up("a) stored, evil int default (1"), 2, "V121", "9:11"),
    "B30 two expressions": Row("B30", up("a) , (b"), 2, "V121", "9:11"),
    "B31 open quote": Row("B31", up("'a"), 2, "V121", "9:11"),
    "B31 open comment": Row("B31", up("a /* b"), 2, "V121", "9:11"),
    "B31 open dollar quote": Row("B31", up("$x$ a"), 2, "V121", "9:11"),
    "B31 only a comment": Row("B31", up("-- a"), 2, "V121", "9:11"),
    "B32 now": Row("B32", up("extract(epoch from now())::bigint + a"), 3, "C230", "9:7"),
    "B32 a word of SQL's own": Row("B32", up("extract(epoch from CURRENT_TIMESTAMP)::bigint"), 3, "C230", "9:7"),
    "B32 now in an index": Row(
        "B32", index('name: i, columns: [{expression: "a + extract(epoch from now())"}]'), 3, "C232", "3:39"
    ),
    "B32 subquery": Row("B32", up("(SELECT max(id) FROM t)"), 3, "C230", "9:7"),
    "B32 aggregate": Row("B32", up("max(a)"), 3, "C230", "9:7"),
    "B32 window": Row("B32", up("row_number() over ()"), 3, "C230", "9:7"),
    "B32 set": Row("B32", up("generate_series(1, a)"), 3, "C230", "9:7"),
    "B33 wrong type": Row("B33", up("ARRAY[a]"), 3, "C230", "9:7"),
    "B34 no such column": Row("B34", up("zzz + 1"), 3, "C230", "9:7"),
    "B34 the new column": Row("B34", up("n + 1"), 3, "C230", "9:7"),
    "B34 a generated column": Row("B34", up("gen + 1"), 3, "C213", "2:1"),
    "B34 a system column": Row("B34", up("xmin::text::bigint"), 3, "C230", "9:7", proof=True),
    "B35 no such function": Row("B35", up("public.nothere(a)"), 3, "C230", "9:7"),
    "B35 rights of another owner": Row("B35", up("public.guarded(a)"), 3, "C262", "9:7"),
    "B35 from pg_temp": Row("B35", up("pg_temp.mine(a)"), 3, "C230", "9:7"),
    "B36 sleep": Row("B36", up("pg_sleep(100)::text::bigint"), 3, "C230", "9:7"),
    "B36 nextval": Row("B36", up("nextval('public.counter')"), 3, "C230", "9:7"),
    "B36 file": Row("B36", up("length(pg_read_file('/etc/passwd'))"), 3, "C230", "9:7"),
    "B36 set_config": Row("B36", up("length(set_config('a.b', 'c', false))"), 3, "C230", "9:7"),
    "B36 terminate": Row("B36", up("pg_terminate_backend(a)::int"), 3, "C230", "9:7"),
    "B36 lo_import": Row("B36", up("lo_import('/etc/passwd')::bigint"), 3, "C230", "9:7"),
    "B38 no way back": Row(
        "B38", change("to: n, type: public.mood, up: \"'sad'::public.mood\"", column="c"), 3, "C218", "3:31"
    ),
}
FORM = {
    "B40 unknown phase": Row("B40", change("to: n, type: bigint") + "swich: {}\n", 2, "V101", "4:1"),
    "B41 same column twice": Row("B41", change("to: n, type: bigint") + "  - change_column: {table: t, column: a, to: k, type: text}\n", 3, "C211", "4:31"),  # noqa: E501
    "B42 zero": Row("B42", paced("parallel: 0"), 2, "V140", "5:13"),
    "B42 negative": Row("B42", paced("waves: -1"), 2, "V140", "5:10"),
    "B42 text": Row("B42", paced('parallel: "4"'), 2, "V140", "5:13"),
    "B42 float": Row("B42", paced("parallel: 1.5"), 2, "V140", "5:13"),
    "B42 bool": Row("B42", paced("waves: true"), 2, "V140", "5:10"),
    "B42 huge": Row("B42", paced("parallel: 1000000000000"), 2, "V140", "5:13"),
    "B43 zero": Row("B43", paced("batch_target: 0ms"), 2, "V141", "5:17"),
    "B43 without unit": Row("B43", paced('batch_target: "5"'), 2, "V141", "5:17"),
    "B43 negative": Row("B43", paced('batch_target: "-1s"'), 2, "V141", "5:17"),
    "B43 fortnight": Row("B43", paced("batch_target: 1 fortnight"), 2, "V141", "5:17"),
    "B43 too long": Row("B43", paced("batch_target: 1h"), 2, "V141", "5:17"),
    "B44 negative lag": Row("B44", paced('max_replica_lag: "-2s"'), 2, "V141", "5:20"),
    "B44 NaN": Row("B44", paced("speed: .nan"), 2, "P018", "5:10"),
    "B44 infinite": Row("B44", paced("max_replica_lag: .inf"), 2, "P018", "5:20"),
    "B44 percent": Row("B44", paced("speed: 101%"), 2, "V142", "5:10"),
    "B44 nothing": Row("B44", paced("speed: 0"), 2, "V142", "5:10"),
    "B65 valid for no time": Row("B65", change("to: n, type: bigint") + "switch:\n  require: [{approval: dba, valid_for: 0s}]\n", 2, "V141", "5:40"),  # noqa: E501
    "B65 an ack that ends": Row("B65", change("to: n, type: bigint") + "switch:\n  require: [{ack: app, valid_for: 1d}]\n", 2, "V101", "5:24"),  # noqa: E501
    "B65 two in one": Row("B65", change("to: n, type: bigint") + "switch:\n  require: [{approval: dba, ack: app}]\n", 2, "V104", "5:13"),
    "B57 hooks": Row("B57", change("to: n, type: bigint") + "switch:\n  hooks: [rm -rf /]\n", 2, "V101", "5:3"),
    "B57 expansion in an address": Row("B57", change("to: n, type: bigint") + "switch:\n  require: [{http: 'http://${PGPASSWORD}/'}]\n", 2, "V150", "5:20"),  # noqa: E501
    "B57 not an address": Row("B57", change("to: n, type: bigint") + "switch:\n  require: [{http: 'file:///etc/shadow'}]\n", 2, "V150", "5:20"),  # noqa: E501
    "B58 password in an address": Row("B58", change("to: n, type: bigint") + "switch:\n  require: [{http: 'https://u:CANARY@h/'}]\n", 2, "V151", "5:20"),  # noqa: E501
    "B58 connection": Row("B58", change("to: n, type: bigint") + "dsn: postgresql://u:CANARY@h/d\n", 2, "V151", "4:6"),
    "B58 password in a label": Row("B58", change("to: n, type: bigint") + "labels: {db: 'postgresql://u:CANARY@h/d'}\n", 2, "V151", "4:14"),
}  # fmt: skip
ROWS = NAMES | OBJECTS | SQL | FORM
