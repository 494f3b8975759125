-- The application's own functions, by what they do: whether one is the same as before is a question to its text and settings.

-- name: named
-- Every function that words of an expression could name with its schema, as they must.
SELECT p.oid::regprocedure::text AS signature,
       md5(concat_ws('|', p.prosrc, p.probin, p.prosqlbody::text, p.proconfig::text, p.provolatile, p.proisstrict, p.prolang)) AS hash
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.prokind = 'f' AND p.proname = ANY (%(words)s::text[]) AND n.nspname = ANY (%(words)s::text[])
  AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_temp'
ORDER BY 1;

-- name: hashes
SELECT asked.signature,
       md5(concat_ws('|', p.prosrc, p.probin, p.prosqlbody::text, p.proconfig::text, p.provolatile, p.proisstrict, p.prolang)) AS hash
FROM unnest(%(signatures)s::text[]) AS asked (signature)
JOIN pg_proc AS p ON p.oid = to_regprocedure(asked.signature);

-- name: called
-- What is known of a call by its name alone: only what holds for each function that could be meant. Whether the owner of the
-- tables owns it is asked of SECURITY DEFINER functions.
SELECT p.oid_text AS signature, p.schema, p.name, p.changes, p.runs_as
FROM (
    SELECT n.nspname::text AS schema, p.proname::text AS name, min(p.oid::regprocedure::text) AS oid_text,
           bool_and(p.provolatile <> 'i') AS changes,
           CASE WHEN bool_and(p.prosecdef AND EXISTS (
               SELECT FROM pg_catalog.pg_class AS t WHERE t.oid = ANY (%(tables)s::oid[]) AND t.relowner <> p.proowner
           )) THEN min(pg_get_userbyid(p.proowner)::text) END AS runs_as
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS asked (schema, name)
    JOIN pg_catalog.pg_namespace AS n ON n.nspname = coalesce(asked.schema, 'pg_catalog')
    JOIN pg_catalog.pg_proc AS p ON p.pronamespace = n.oid AND p.proname = asked.name
    GROUP BY n.nspname, p.proname
) AS p
WHERE p.changes OR p.runs_as IS NOT NULL
ORDER BY 2, 3;
