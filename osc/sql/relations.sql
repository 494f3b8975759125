-- Where the tables of a change are now: by name and by oid they may be two, one or none.

-- name: whereabouts
SELECT asked.schema, asked.name,
       named.oid IS NOT DISTINCT FROM asked.oid AS in_place,
       named.oid AS oid_of_name,
       moved.oid::regclass::text AS called_now
FROM unnest(%(schemas)s::text[], %(names)s::text[], %(oids)s::oid[]) AS asked (schema, name, oid)
LEFT JOIN pg_namespace AS n ON n.nspname = asked.schema
LEFT JOIN pg_class AS named ON named.relnamespace = n.oid AND named.relname = asked.name
LEFT JOIN pg_class AS moved ON moved.oid = asked.oid;
