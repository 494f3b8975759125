-- Leaves of partitioned tables. Read-only; takes ACCESS SHARE on catalogs only, which pg_partition_tree() would not.

-- name: leaves
-- One that is being detached is a leaf no more.
WITH RECURSIVE tree (oid) AS (
    SELECT %(table)s::regclass::oid
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid AND NOT i.inhdetachpending
)
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text
  FROM tree
  JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind <> 'p'
   AND (%(leaf)s::bigint IS NULL OR c.oid = %(leaf)s::bigint::oid)
 ORDER BY c.oid
