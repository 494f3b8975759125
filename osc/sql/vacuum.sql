-- For the bloat guard (osc.executor.backfill.bloat).

-- name: gently
-- At the pace of autovacuum, the server's own default, and not as fast as the disks go, which is a VACUUM's.
SET vacuum_cost_delay = '2ms';

-- name: vacuum
-- SHARE UPDATE EXCLUSIVE: reads and writes go on, DDL and other vacuums wait. A lock that is not free is not waited for,
-- but told by a warning. Empty blocks at the end stay: giving them back takes ACCESS EXCLUSIVE.
VACUUM (SKIP_LOCKED, TRUNCATE false, PARALLEL 0) {table};

-- name: may_vacuum
-- Whether the table and its leaves may be vacuumed by this role: refused, VACUUM only warns, in the server's language.
SELECT coalesce(bool_and(
           pg_catalog.pg_has_role(c.relowner, 'USAGE')
           OR EXISTS (SELECT FROM pg_catalog.pg_database AS d
                      WHERE d.datname = pg_catalog.current_database() AND pg_catalog.pg_has_role(d.datdba, 'USAGE'))
           OR CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 170000
                   THEN pg_catalog.has_table_privilege(c.oid, 'MAINTAIN') ELSE false END
       ), false) AS may
FROM pg_catalog.pg_class AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid OR t.relkind = 'p' AND c.oid IN (
    SELECT p.relid FROM pg_catalog.pg_partition_tree(t.oid) AS p WHERE p.isleaf
)
WHERE n.nspname = %(schema)s AND t.relname = %(table)s;
