"""Tables with everything on the column that is changed, the change, and the table a person would have made instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """``before`` makes table t (and others); ``wanted`` makes it as it is to be in the end."""

    before: str
    operations: str
    wanted: str
    rows: str = ""
    """Fills the table."""
    old_writes: str = ""
    """What the old application writes while both live."""
    new_writes: str = ""
    """What the new application writes once it may."""
    rest: str = ""
    data: str = "SELECT * FROM t ORDER BY id"
    after: str = ""
    """A query on the table in the end."""
    found: tuple[object, ...] = ()
    """What it finds."""
    columns: tuple[str, ...] = ()


WRITERS = "backfill: {require: [{ack: writers-comply}]}\n"


_INTEGER = """
CREATE TABLE parent (id integer PRIMARY KEY);
INSERT INTO parent SELECT n FROM generate_series(-9, 300) AS n;
CREATE TABLE t (
    id integer PRIMARY KEY,
    b text,
    {column} {type} DEFAULT 7 NOT NULL,
    CONSTRAINT {column}_positive CHECK (({column} > '-9'::integer)),
    CONSTRAINT pair_of_{column} UNIQUE ({column}, b) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT t_{column}_key UNIQUE ({column})
);
ALTER TABLE t ADD CONSTRAINT t_{column}_fkey FOREIGN KEY ({column}) REFERENCES parent (id)
    ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE;
ALTER TABLE t ADD CONSTRAINT later_{column} CHECK (({column} < 1000)) NOT VALID;
ALTER TABLE t ADD CONSTRAINT lax_{column} FOREIGN KEY ({column}) REFERENCES parent (id) NOT VALID;
COMMENT ON COLUMN t.{column} IS 'the value';
COMMENT ON CONSTRAINT {column}_positive ON t IS 'never too small';
COMMENT ON CONSTRAINT t_{column}_key ON t IS 'one each';
ALTER TABLE t ALTER COLUMN {column} SET STATISTICS 77;
ALTER TABLE t ALTER COLUMN {column} SET (n_distinct = 12);
GRANT SELECT ({column}), UPDATE ({column}) ON t TO pg_monitor WITH GRANT OPTION;
GRANT SELECT ({column}) ON t TO PUBLIC;
CREATE INDEX t_{column}_idx ON t USING btree ({column});
CREATE INDEX t_{column}_down ON t USING btree ({column} DESC NULLS LAST, b);
CREATE INDEX t_{column}_half ON t USING btree (b) WHERE ({column} > 3);
CREATE INDEX t_{column}_double ON t USING btree ((({column} * 2)), b);
CREATE INDEX t_{column}_with ON t USING btree (b) INCLUDE ({column});
CREATE INDEX t_{column}_hash ON t USING hash ({column});
CREATE INDEX t_{column}_brin ON t USING brin ({column}) WITH (pages_per_range='16');
COMMENT ON INDEX t_{column}_idx IS 'by value';
"""
_INTEGER_ROWS = "INSERT INTO t (id, b, {0}) SELECT n, 'b' || n, n + 10 FROM generate_series(1, 40) AS n"

_TEXT = """
CREATE TABLE t (
    id integer PRIMARY KEY,
    v {type} DEFAULT 'none'::{default} {collate},
    CONSTRAINT v_short CHECK ((length({read}) < 90)),
    CONSTRAINT t_v_key UNIQUE (v)
);
ALTER TABLE t ALTER COLUMN v SET STORAGE EXTERNAL;
COMMENT ON COLUMN t.v IS 'a word';
CREATE INDEX t_v_lower ON t USING btree (lower({read}));
CREATE INDEX t_v_some ON t USING btree (id) WHERE (v IS NOT NULL);
CREATE INDEX t_v_pattern ON t USING btree (v {opclass});
"""

SHAPES: dict[str, Shape] = {
    "int to bigint, another name": Shape(
        before=_INTEGER.format(column="a", type="integer"),
        rows=_INTEGER_ROWS.format("a"),
        operations="- change_column: {table: t, column: a, to: n, type: bigint}",
        wanted=_INTEGER.format(column="n", type="bigint"),
        old_writes="INSERT INTO t (id, b, a) VALUES (101, 'o', 101); UPDATE t SET a = 60 WHERE id = 2; INSERT INTO t "
        "(id, b) VALUES (102, 'default')",
        new_writes="INSERT INTO t (id, b, n) VALUES (103, 'w', 103); UPDATE t SET n = 61 WHERE id = 3",
        after="SELECT id, n FROM t WHERE id IN (2, 3, 101, 102, 103) ORDER BY id",
        found=((2, 60), (3, 61), (101, 101), (102, 7), (103, 103)),
    ),
    "int to bigint, the same name": Shape(
        before=_INTEGER.format(column="a", type="integer"),
        rows=_INTEGER_ROWS.format("a"),
        operations="- change_column: {table: t, column: a, type: bigint}",
        wanted=_INTEGER.format(column="a", type="bigint"),
        old_writes="INSERT INTO t (id, b, a) VALUES (101, 'o', 101); UPDATE t SET a = 60 WHERE id = 2; INSERT INTO t "
        "(id, b) VALUES (102, 'default')",
        after="SELECT id, a FROM t WHERE id IN (2, 101, 102) ORDER BY id",
        found=((2, 60), (101, 101), (102, 7)),
    ),
    "renamed": Shape(
        before=_INTEGER.format(column="a", type="integer"),
        rows=_INTEGER_ROWS.format("a"),
        operations="- rename_column: {table: t, column: a, to: amount}",
        wanted=_INTEGER.format(column="amount", type="integer"),
        old_writes="UPDATE t SET a = 60 WHERE id = 2",
        new_writes="UPDATE t SET amount = 61 WHERE id = 3",
        after="SELECT amount FROM t WHERE id IN (2, 3)",
        found=(60, 61),
    ),
    "varchar to text": Shape(
        before=_TEXT.format(
            type="character varying(20)",
            default="character varying",
            read="(v)::text",
            collate="",
            opclass="varchar_pattern_ops",
        ),
        rows="INSERT INTO t SELECT n, 'Word ' || n FROM generate_series(1, 30) AS n; INSERT INTO t VALUES (31, NULL)",
        operations="- change_column: {table: t, column: v, type: text}",
        wanted=_TEXT.format(type="text", default="text", read="v", collate="", opclass="varchar_pattern_ops"),
        old_writes="UPDATE t SET v = 'Changed' WHERE id = 2; INSERT INTO t (id) VALUES (50)",
        after="SELECT v FROM t WHERE id IN (2, 31, 50) ORDER BY id",
        found=("Changed", None, "none"),
    ),
    "varchar renamed, collation and compression": Shape(
        before=_TEXT.format(
            type="character varying(20)",
            default="character varying",
            read="(v)::text",
            collate='COLLATE "C"',
            opclass="",
        )
        + "ALTER TABLE t ALTER COLUMN v SET COMPRESSION pglz",
        rows="INSERT INTO t SELECT n, 'Word ' || n FROM generate_series(1, 30) AS n",
        operations="- rename_column: {table: t, column: v, to: word}",
        wanted=_TEXT.replace("t_v_", "t_word_")
        .replace("v_short", "word_short")
        .replace("(v ", "(word ")
        .replace("(v)", "(word)")
        .replace("(v IS", "(word IS")
        .replace("    v ", "    word ")
        .replace("COLUMN v", "COLUMN word")
        .replace("t.v", "t.word")
        .format(
            type="character varying(20)",
            default="character varying",
            read="(word)::text",
            collate='COLLATE "C"',
            opclass="",
        )
        + "ALTER TABLE t ALTER COLUMN word SET COMPRESSION pglz",
    ),
    "text to int by up and down": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, a text DEFAULT '0'::text NOT NULL); CREATE INDEX t_a_idx ON "
        "t (a)",
        rows="INSERT INTO t SELECT n, n::text FROM generate_series(1, 30) AS n",
        operations="- change_column: {table: t, column: a, to: n, type: int, up: 'a::int', down: 'n::text', "
        "not_null: true, default: 0}",
        rest=WRITERS,
        wanted="CREATE TABLE t (id integer PRIMARY KEY, n integer DEFAULT 0 NOT NULL); CREATE INDEX t_n_idx ON t (n)",
        old_writes="UPDATE t SET a = '60' WHERE id = 2; INSERT INTO t (id) VALUES (70)",
        new_writes="UPDATE t SET n = 61 WHERE id = 3",
        after="SELECT n FROM t WHERE id IN (2, 3, 70) ORDER BY id",
        found=(60, 61, 0),
    ),
    "timestamp to timestamptz": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, at timestamp DEFAULT now() NOT NULL); CREATE INDEX t_at_idx "
        "ON t (at)",
        rows="INSERT INTO t SELECT n, '2024-01-01'::timestamp + n * interval '1 day' FROM generate_series(1, 30) AS n",
        operations="""- change_column:
            table: t
            column: at
            to: happened_at
            type: timestamptz
            up: at AT TIME ZONE 'UTC'
            down: happened_at AT TIME ZONE 'UTC'
            not_null: true
            default: {sql: now()}""",
        rest=WRITERS,
        wanted="CREATE TABLE t (id integer PRIMARY KEY, happened_at timestamptz DEFAULT now() NOT NULL); CREATE "
        "INDEX t_happened_at_idx ON t (happened_at)",
        old_writes="UPDATE t SET at = '2025-05-05 12:00' WHERE id = 2",
        new_writes="UPDATE t SET happened_at = '2025-06-06 12:00Z' WHERE id = 3",
        after="SELECT happened_at::text FROM t WHERE id IN (2, 3) ORDER BY id",
        found=("2025-05-05 12:00:00+00", "2025-06-06 12:00:00+00"),
    ),
    "enum to text": Shape(
        before="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id integer PRIMARY KEY, a mood DEFAULT "
        "'ok'::mood NOT NULL, UNIQUE (a, id))",
        rows="INSERT INTO t SELECT n, 'sad' FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: a, to: feeling, type: text}",
        wanted="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id integer PRIMARY KEY, feeling text DEFAULT "
        "'ok'::text NOT NULL, CONSTRAINT t_feeling_id_key UNIQUE (feeling, id))",
        old_writes="UPDATE t SET a = 'ok' WHERE id = 2; INSERT INTO t (id) VALUES (40)",
        new_writes="UPDATE t SET feeling = 'ok' WHERE id = 3",
        after="SELECT feeling FROM t WHERE id IN (1, 2, 3, 40) ORDER BY id",
        found=("sad", "ok", "ok", "ok"),
    ),
    "text to enum, the same name": Shape(
        before="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id integer PRIMARY KEY, a text DEFAULT "
        "'ok'::text NOT NULL, UNIQUE (a, id))",
        rows="INSERT INTO t SELECT n, 'sad' FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: a, type: public.mood, same_name: accepted}",
        rest=WRITERS,
        wanted="CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id integer PRIMARY KEY, a mood DEFAULT "
        "'ok'::mood NOT NULL, UNIQUE (a, id))",
        old_writes="UPDATE t SET a = 'ok' WHERE id = 2; INSERT INTO t (id) VALUES (40)",
        after="SELECT a::text FROM t WHERE id IN (1, 2, 40) ORDER BY id",
        found=("sad", "ok", "ok"),
    ),
    "a wider and finer numeric": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, price numeric(10,2) DEFAULT 1.5 NOT NULL); CREATE INDEX "
        "t_price_idx ON t (price)",
        rows="INSERT INTO t SELECT n, n + 0.25 FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: price, type: 'numeric(14,4)'}",
        rest=WRITERS,
        wanted="CREATE TABLE t (id integer PRIMARY KEY, price numeric(14,4) DEFAULT 1.5 NOT NULL); CREATE INDEX "
        "t_price_idx ON t (price)",
        old_writes="UPDATE t SET price = 60.10 WHERE id = 2",
        after="SELECT price::text FROM t WHERE id IN (1, 2) ORDER BY id",
        found=("1.2500", "60.1000"),
    ),
    "boolean to timestamptz (plan 00042)": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, is_verified boolean DEFAULT false NOT NULL, created_at "
        "timestamptz NOT NULL)",
        rows="INSERT INTO t SELECT n, n % 2 = 0, '2024-01-01Z'::timestamptz + n * interval '1 day' FROM "
        "generate_series(1, 20) AS n",
        operations="""- change_column:
            table: t
            column: is_verified
            to: verified_at
            type: timestamptz
            up: CASE WHEN is_verified THEN created_at END
            down: verified_at IS NOT NULL
        - create_index: {table: t, name: t_verified_at_idx, columns: [verified_at]}""".replace("\n        - ", "\n- "),
        wanted="CREATE TABLE t (id integer PRIMARY KEY, verified_at timestamptz, created_at timestamptz NOT NULL); "
        "CREATE INDEX t_verified_at_idx ON t (verified_at)",
        old_writes="UPDATE t SET is_verified = true WHERE id = 1; INSERT INTO t (id, created_at) VALUES (50, "
        "'2024-03-03Z')",
        new_writes="UPDATE t SET verified_at = '2025-06-06 12:00Z' WHERE id = 3",
        after="SELECT verified_at::text FROM t WHERE id IN (1, 2, 3, 5, 50) ORDER BY id",
        found=("2024-01-02 00:00:00+00", "2024-01-03 00:00:00+00", "2025-06-06 12:00:00+00", None, None),
    ),
    "a serial becomes a bigserial under a new name": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, no serial); CREATE INDEX t_no_idx ON t (no)",
        rows="INSERT INTO t (id) SELECT n FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: no, to: number, type: bigint}",
        wanted="CREATE TABLE t (id integer PRIMARY KEY, number bigint NOT NULL); CREATE INDEX t_number_idx ON t "
        "(number); CREATE SEQUENCE t_no_seq OWNED BY t.number; ALTER TABLE t ALTER COLUMN number SET DEFAULT "
        "nextval('t_no_seq')",
        old_writes="INSERT INTO t (id) VALUES (40)",
        new_writes="INSERT INTO t (id) VALUES (41)",
        after="SELECT number FROM t WHERE id IN (1, 20) ORDER BY id",
        found=(1, 20),
    ),
    "a serial with a bigint sequence, the same name": Shape(
        before="CREATE SEQUENCE s; CREATE TABLE t (id integer PRIMARY KEY, no integer DEFAULT nextval('s') NOT "
        "NULL); ALTER SEQUENCE s OWNED BY t.no",
        rows="INSERT INTO t (id) SELECT n FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: no, type: bigint}",
        wanted="CREATE SEQUENCE s; CREATE TABLE t (id integer PRIMARY KEY, no bigint DEFAULT nextval('s') NOT NULL); "
        "ALTER SEQUENCE s OWNED BY t.no",
        old_writes="INSERT INTO t (id) VALUES (40)",
    ),
    "several pairs, one of them beside its index on the new name": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer NOT NULL, c text); CREATE INDEX t_a_b "
        "ON t (a, b)",
        rows="INSERT INTO t SELECT n, n, n, 'c' || n FROM generate_series(1, 20) AS n",
        operations="""\
        - change_column: {table: t, column: a, type: bigint}
        - change_column: {table: t, column: c, to: code, type: varchar}
        - add_column: {table: t, column: shout, type: text, up: upper(c)}
        - create_index: {table: t, name: by_a, columns: [{column: a, order: desc}], include: [code]}
        - create_index: {table: t, name: by_code, columns: [{expression: lower(code)}], where: code IS NOT NULL}""",
        wanted="CREATE TABLE t (id integer PRIMARY KEY, a bigint, b integer NOT NULL, code varchar, shout text); "
        "CREATE INDEX t_a_b ON t (a, b); CREATE INDEX by_a ON t (a DESC) INCLUDE (code); CREATE INDEX by_code "
        "ON t (lower(code)) WHERE code IS NOT NULL",
        old_writes="UPDATE t SET a = 60, c = 'sixty' WHERE id = 2; INSERT INTO t (id, b) VALUES (70, 1)",
        after="SELECT a, code, shout FROM t WHERE id IN (1, 2) ORDER BY id",
        found=((1, "c1", "C1"), (60, "sixty", "SIXTY")),
    ),
}

NAMED_NOT_NULL = {
    "a named NOT NULL, another name": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, a integer CONSTRAINT must NOT NULL); COMMENT ON CONSTRAINT "
        "must ON t IS 'always'",
        rows="INSERT INTO t SELECT n, n FROM generate_series(1, 20) AS n",
        operations="- rename_column: {table: t, column: a, to: n}",
        wanted="CREATE TABLE t (id integer PRIMARY KEY, n integer CONSTRAINT must_n NOT NULL); COMMENT ON CONSTRAINT "
        "must_n ON t IS 'always'",
    ),
    "a named NOT NULL, the same name": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, a integer CONSTRAINT must NOT NULL)",
        rows="INSERT INTO t SELECT n, n FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: a, type: bigint}",
        wanted="CREATE TABLE t (id integer PRIMARY KEY, a bigint CONSTRAINT must NOT NULL)",
    ),
    "an unproven NOT NULL": Shape(
        before="CREATE TABLE t (id integer PRIMARY KEY, a integer); ALTER TABLE t ADD CONSTRAINT must NOT NULL a NOT "
        "VALID",
        rows="INSERT INTO t SELECT n, n FROM generate_series(1, 20) AS n",
        operations="- change_column: {table: t, column: a, type: bigint}",
        wanted="CREATE TABLE t (id integer PRIMARY KEY, a bigint); ALTER TABLE t ADD CONSTRAINT must NOT NULL a NOT "
        "VALID",
    ),
}
"""Server 18 only: NOT NULL is a constraint with a name there."""
