-- Whether every role that writes to a table may do what a trigger, a default, a check or an index will do as that role.

-- name: used
-- What an expression takes of whoever computes it: a function or a schema, with the tables it is proven for; of a function that
-- runs with its owner's rights also that owner, if the table is not theirs. Asked in the transaction of a proof, whose temporary objects tell by their dependencies what the expression uses. A name in
-- the trigger's text is looked up again in each session of the application, and a type's is (a variable is declared of it): that
-- takes USAGE on the schema; the server keeps everything else as object ids. A temporary table may be called
-- like one of the catalog, and stands first. What a function calls is known where its body was parsed when it was made
-- (BEGIN ATOMIC); what a SECURITY DEFINER function calls, its owner calls.
WITH RECURSIVE mine AS (
    SELECT c.oid, c.relname, c.relkind FROM pg_catalog.pg_class AS c WHERE c.relnamespace = pg_my_temp_schema()
), parts AS (
    SELECT 'pg_catalog.pg_class'::regclass AS classid, m.oid AS objid FROM mine AS m WHERE m.relkind = 'i'
    UNION ALL
    SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid FROM pg_catalog.pg_attrdef AS d JOIN mine AS m ON m.oid = d.adrelid
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::regclass, k.oid FROM pg_catalog.pg_constraint AS k JOIN mine AS m ON m.oid = k.conrelid
), used AS (
    SELECT DISTINCT d.refclassid AS classid, d.refobjid AS objid
    FROM pg_catalog.pg_depend AS d JOIN parts AS p ON p.classid = d.classid AND p.objid = d.objid
), variables AS (
    -- Of the types of the columns that the expression reads, and of the one it gives a value to.
    SELECT a.atttypid AS type, a.attcollation AS collation
    FROM pg_catalog.pg_attrdef AS d
    JOIN mine AS m ON m.oid = d.adrelid
    JOIN pg_catalog.pg_depend AS p ON p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid
        AND p.refclassid = 'pg_catalog.pg_class'::regclass AND p.refobjid = d.adrelid
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = p.refobjsubid
    UNION
    -- The cast of an enum is proven without a generated column.
    SELECT a.atttypid, 0
    FROM mine AS m JOIN pg_catalog.pg_attribute AS a ON a.attrelid = m.oid JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE t.typtype = 'e' AND EXISTS (SELECT FROM mine AS e WHERE e.relname = 'osc_proven')
), functions (oid) AS (
    SELECT u.objid FROM used AS u WHERE u.classid = 'pg_catalog.pg_proc'::regclass
    UNION
    SELECT o.oprcode::oid FROM used AS u JOIN pg_catalog.pg_operator AS o ON u.classid = 'pg_catalog.pg_operator'::regclass AND o.oid = u.objid
), reached (oid) AS (
    SELECT f.oid FROM functions AS f
    UNION
    SELECT c.oid
    FROM reached AS r
    JOIN pg_catalog.pg_proc AS p ON p.oid = r.oid AND p.prosqlbody IS NOT NULL AND NOT p.prosecdef
    JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'n'
    CROSS JOIN LATERAL (
        SELECT d.refobjid WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
        UNION ALL
        SELECT o.oprcode::oid FROM pg_catalog.pg_operator AS o
        WHERE d.refclassid = 'pg_catalog.pg_operator'::regclass AND o.oid = d.refobjid
    ) AS c (oid)
), schemas AS (
    SELECT p.pronamespace AS oid FROM used AS u JOIN pg_catalog.pg_proc AS p ON u.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = u.objid
    UNION
    SELECT t.typnamespace FROM used AS u JOIN pg_catalog.pg_type AS t ON u.classid = 'pg_catalog.pg_type'::regclass AND t.oid = u.objid
    UNION
    SELECT t.typnamespace FROM variables AS v JOIN pg_catalog.pg_type AS t ON t.oid = v.type
    UNION
    SELECT c.collnamespace FROM variables AS v JOIN pg_catalog.pg_collation AS c ON c.oid = v.collation
    UNION
    SELECT o.oprnamespace FROM used AS u JOIN pg_catalog.pg_operator AS o ON u.classid = 'pg_catalog.pg_operator'::regclass AND o.oid = u.objid
    UNION
    SELECT c.collnamespace FROM used AS u JOIN pg_catalog.pg_collation AS c ON u.classid = 'pg_catalog.pg_collation'::regclass AND c.oid = u.objid
), tables AS (
    SELECT t.oid, t.relowner FROM pg_catalog.pg_class AS t JOIN mine AS m ON m.relname = t.relname
    WHERE t.oid = ANY (%(tables)s::oid[])
), proven AS (
    SELECT array_agg(t.oid::regclass::text ORDER BY t.oid) AS tables FROM tables AS t
)
SELECT 'function' AS kind, f.oid::regprocedure::text AS name, proven.tables,
       (SELECT pg_get_userbyid(p.proowner)::text FROM pg_catalog.pg_proc AS p
        WHERE p.oid = f.oid AND p.prosecdef AND EXISTS (SELECT FROM tables AS t WHERE t.relowner <> p.proowner)) AS runs_as
FROM reached AS f CROSS JOIN proven
UNION ALL
SELECT 'schema', n.nspname::text, proven.tables, NULL
FROM schemas AS s JOIN pg_catalog.pg_namespace AS n ON n.oid = s.oid CROSS JOIN proven
WHERE %(names)s AND n.oid <> pg_my_temp_schema()
ORDER BY 1, 2;

-- name: lacking
-- Superusers may everything, and of the server's own roles each member is asked. What is gone meanwhile is not ours to miss here.
WITH writers AS (
    SELECT DISTINCT r.oid, quote_ident(r.rolname) AS name
    FROM unnest(%(tables)s::text[]) AS t (name) CROSS JOIN pg_catalog.pg_roles AS r
    WHERE to_regclass(t.name) IS NOT NULL AND NOT r.rolsuper AND r.rolname !~ '^pg_'
        AND (has_any_column_privilege(r.oid, to_regclass(t.name), 'INSERT')
          OR has_any_column_privilege(r.oid, to_regclass(t.name), 'UPDATE'))
)
SELECT 'EXECUTE ON FUNCTION ' || f.name AS missing, array_agg(w.name ORDER BY w.name)::text[] AS roles
FROM unnest(%(functions)s::text[]) AS f (name) CROSS JOIN writers AS w
WHERE NOT has_function_privilege(w.oid, to_regprocedure(f.name), 'EXECUTE')
GROUP BY f.name
UNION ALL
SELECT 'USAGE ON SCHEMA ' || quote_ident(s.name), array_agg(w.name ORDER BY w.name)::text[]
FROM unnest(%(schemas)s::text[]) AS s (name) CROSS JOIN writers AS w
WHERE NOT has_schema_privilege(w.oid, to_regnamespace(quote_ident(s.name)), 'USAGE')
GROUP BY s.name
ORDER BY 1
