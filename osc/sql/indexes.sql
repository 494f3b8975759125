-- What the catalogs say of indexes that a step builds or drops. Reads only; no lock beyond ACCESS SHARE on catalogs.

-- name: on_table
-- The indexes of a table whose names begin with a prefix or are one name.
SELECT c.oid::bigint AS oid, c.relname AS name, i.indisvalid AND i.indisready AND i.indislive AS usable,
       pg_catalog.pg_get_indexdef(c.oid) AS definition
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
 WHERE i.indrelid = %(table)s::pg_catalog.regclass
   AND (c.relname = %(name)s OR pg_catalog.starts_with(c.relname::text, %(prefix)s::text))
 ORDER BY c.oid

-- name: by_oid
SELECT c.oid::bigint AS oid, c.relname AS name, i.indisvalid AND i.indisready AND i.indislive AS usable,
       pg_catalog.pg_get_indexdef(c.oid) AS definition
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
 WHERE c.oid = %(oid)s

-- name: name_taken
-- Whether any relation of the schema has the name.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = %(schema)s AND c.relname = %(name)s) AS taken

-- name: constraint_validated
SELECT c.convalidated AS validated
  FROM pg_catalog.pg_constraint AS c
 WHERE c.conrelid = %(table)s::pg_catalog.regclass AND c.conname = %(name)s
