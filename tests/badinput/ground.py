"""The tables of the catalogue of bad input: each stands in the way of something."""

from __future__ import annotations

GROUND = """
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN filled AS int NOT NULL;
CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int, old int, word text, feeling mood,
                gen int GENERATED ALWAYS AS (c + 1) STORED);
INSERT INTO t (id, a, b, c, old, word) SELECT n, n, 'b' || n, n, n, CASE WHEN n = 7 THEN 'seven' ELSE n::text END
    FROM generate_series(1, 20) AS n;
CREATE TABLE "Quoted ""T" (id int PRIMARY KEY, "Odd %s {} col" int);
CREATE TABLE twice (id int PRIMARY KEY, v int, p int);
INSERT INTO twice VALUES (1, 5, 99), (2, 5, NULL);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE nokey (a int, b int);
INSERT INTO nokey VALUES (1, 1);
CREATE TABLE parted (id int PRIMARY KEY, a int) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE base (id int PRIMARY KEY, a int);
CREATE TABLE heir () INHERITS (base);
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY, a int);
CREATE TABLE secured (id int PRIMARY KEY, a int);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE seen (id int PRIMARY KEY, a int);
CREATE VIEW v AS SELECT a FROM seen;
CREATE MATERIALIZED VIEW m AS SELECT 1 AS id, 2 AS a;
CREATE SEQUENCE counter;
CREATE TABLE published (id int NOT NULL UNIQUE, a int);
CREATE PUBLICATION pub FOR TABLE published;
CREATE TABLE watched (id int PRIMARY KEY, a int);
INSERT INTO watched VALUES (1, 1);
CREATE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER looks AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION looks();
CREATE TABLE indexed (id int PRIMARY KEY, a int, b int);
CREATE INDEX indexed_idx ON indexed (b);
CREATE FUNCTION guarded(x int) RETURNS int IMMUTABLE LANGUAGE sql SECURITY DEFINER AS 'SELECT x';
ALTER FUNCTION guarded(int) OWNER TO pg_monitor;
"""
