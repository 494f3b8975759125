-- What the catalogs say of one type. Reads only; no lock beyond ACCESS SHARE on catalogs.

-- name: described
-- The sub-select yields no row, so that the cast is typed and never evaluated; a domain's modifier is its own.
SELECT
    pg_catalog.format_type(t.oid, CASE WHEN t.typtype = 'd' THEN NULL ELSE %(modifier)s::int4 END),
    t.typtype::text,
    t.typtype = 'd' AND (
        t.typnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.contypid = t.oid)
    )
FROM pg_catalog.pg_type AS t
WHERE t.oid = pg_catalog.pg_typeof((SELECT NULL::{type} WHERE false))
