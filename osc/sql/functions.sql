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
