-- What osc knows of tables, read from PostgreSQL's catalogs (14 to 18). All of it runs in one snapshot, read only.
-- Locks: ACCESS SHARE on system catalogs until the transaction ends. Where a line says "deparses", the server itself
-- takes ACCESS SHARE on the user's table for the moment of the call (ruleutils.c, set_relation_column_names), and so
-- waits, within lock_timeout, while somebody holds or awaits ACCESS EXCLUSIVE. Columns that only newer servers have
-- are reached through to_jsonb(row).


-- name: snapshot
-- No lock. Deparsed text depends on search_path: whatever it does not reach is schema-qualified.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL search_path = pg_catalog


-- name: server
SELECT
    current_setting('server_version_num')::int AS version_num,
    current_database()::text AS database,
    (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AS database_oid,
    r.rolname::text AS role,
    r.rolsuper AS superuser,
    pg_is_in_recovery() AS in_recovery,
    (SELECT s.setting::int FROM pg_settings AS s WHERE s.name = 'deadlock_timeout') AS deadlock_timeout_ms,
    has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS may_read_control
FROM pg_roles AS r
WHERE r.rolname = current_user


-- name: system_identifier
-- Apart from the rest: a function that we may not call fails as soon as the statement is planned.
SELECT s.system_identifier::text AS system_identifier FROM pg_control_system() AS s


-- name: may_set_replication_role
-- Server 15 and later; before, only superusers may.
SELECT has_parameter_privilege('session_replication_role', 'SET') AS may


-- name: tables
-- Sizes are those of the last VACUUM or ANALYZE: pg_table_size() would lock the table.
SELECT
    c.oid,
    n.nspname::text AS schema,
    c.relname::text AS name,
    c.relkind::text AS kind,
    c.relpersistence::text AS persistence,
    pg_get_userbyid(c.relowner)::text AS owner,
    pg_has_role(c.relowner, 'USAGE') AS may_own,
    c.relispartition AS partition,
    c.relrowsecurity AS row_security,
    c.relforcerowsecurity AS force_row_security,
    c.relreplident::text AS replica_identity,
    c.relnatts AS column_numbers_used,
    CASE WHEN c.relkind = 'p' THEN leaves.rows ELSE greatest(c.reltuples, 0)::bigint END AS rows_estimate,
    CASE WHEN c.relkind = 'p' THEN leaves.pages ELSE (c.relpages + coalesce(toast.relpages, 0))::bigint END
        * current_setting('block_size')::bigint AS size_bytes,
    CASE WHEN c.relkind = 'p' THEN leaves.partition_key ELSE '{}' END AS partition_key,
    EXISTS (SELECT FROM pg_subscription_rel AS s WHERE s.srrelid = c.oid) AS subscribed,
    (
        SELECT e.extname::text
        FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
            AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    ) AS extension,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_array(kn.nspname, k.relname) ORDER BY kn.nspname, k.relname), '[]')
        FROM pg_inherits AS i
        JOIN pg_class AS k ON k.oid = i.inhrelid
        JOIN pg_namespace AS kn ON kn.oid = k.relnamespace
        WHERE i.inhparent = c.oid AND c.relkind IN ('r', 'p', 'f')
    ) AS children,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_array(pn.nspname, p.relname) ORDER BY i.inhseqno), '[]')
        FROM pg_inherits AS i
        JOIN pg_class AS p ON p.oid = i.inhparent
        JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
        WHERE i.inhrelid = c.oid AND c.relkind IN ('r', 'p', 'f')
    ) AS parents
FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS asked (schema, name)
JOIN pg_namespace AS n ON n.nspname = asked.schema
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = asked.name
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
CROSS JOIN LATERAL (
    -- A column of a partition key depends on its table as a whole, one in an expression of the key as well.
    WITH RECURSIVE tree (oid) AS (
        SELECT c.oid
        UNION ALL
        SELECT i.inhrelid FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid WHERE c.relkind = 'p'
    )
    SELECT
        coalesce(sum(greatest(l.reltuples, 0)) FILTER (WHERE l.relkind <> 'p'), 0)::bigint AS rows,
        coalesce(sum(l.relpages + coalesce(lt.relpages, 0)) FILTER (WHERE l.relkind <> 'p'), 0)::bigint AS pages,
        ARRAY(
            SELECT DISTINCT a.attname::text
            FROM tree
            JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = tree.oid AND d.objsubid > 0
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = tree.oid AND d.refobjsubid = 0
                AND d.deptype = 'i'
            JOIN pg_attribute AS a ON a.attrelid = tree.oid AND a.attnum = d.objsubid
            ORDER BY 1
        ) AS partition_key
    FROM tree
    JOIN pg_class AS l ON l.oid = tree.oid
    LEFT JOIN pg_class AS lt ON lt.oid = l.reltoastrelid
) AS leaves


-- name: leaf_objects
-- What leaves of partitioned tables have of their own: things that no walk over leaves can bear (no columns), and what
-- reads columns and does not come from the table above, so that nothing of ours knows it.
WITH RECURSIVE tree (table_oid, oid, kind) AS (
    SELECT c.oid, c.oid, c.relkind FROM pg_class AS c WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'p'
    UNION ALL
    SELECT tree.table_oid, c.oid, c.relkind
    FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid JOIN pg_class AS c ON c.oid = i.inhrelid
),
leaves AS (
    SELECT tree.table_oid, c.*, n.nspname
    FROM tree
    JOIN pg_class AS c ON c.oid = tree.oid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE tree.oid <> tree.table_oid
),
found AS (
    SELECT l.table_oid, l.oid, l.nspname, l.relname, said.what, '{}'::text[] AS columns
    FROM leaves AS l
    CROSS JOIN LATERAL (
        VALUES
            (l.relkind = 'f', 'is a foreign table'),
            (l.relpersistence <> 'p', 'is unlogged or temporary'),
            (l.relrowsecurity, 'has row-level security'),
            (
                NOT pg_has_role(l.relowner, 'USAGE'),
                'is owned by ' || pg_get_userbyid(l.relowner) || ', and our role is not a member of that role'
            ),
            (
                l.relkind = 'r'
                AND (
                    l.relreplident = 'n'
                    OR l.relreplident = 'd'
                    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = l.oid AND i.indisprimary)
                )
                AND EXISTS (
                    SELECT FROM pg_publication AS p
                    WHERE p.pubupdate AND (p.puballtables OR EXISTS (
                        SELECT FROM pg_publication_rel AS r
                        WHERE r.prpubid = p.oid AND r.prrelid IN (l.oid, l.table_oid)))
                ),
                'is published without a replica identity: every UPDATE fails'
            )
    ) AS said (is_so, what)
    WHERE said.is_so
    UNION ALL
    SELECT l.table_oid, l.oid, l.nspname, l.relname, 'has trigger ' || t.tgname, '{}'
    FROM leaves AS l
    JOIN pg_trigger AS t ON t.tgrelid = l.oid
    WHERE t.tgparentid = 0 AND NOT t.tgisinternal AND t.tgtype & 20 <> 0
    UNION ALL
    SELECT l.table_oid, l.oid, l.nspname, l.relname, 'has rule ' || r.rulename, '{}'
    FROM leaves AS l
    JOIN pg_rewrite AS r ON r.ev_class = l.oid
    UNION ALL
    SELECT l.table_oid, l.oid, l.nspname, l.relname, 'has ' || pg_describe_object(d.classid, d.objid, 0),
        array_agg(DISTINCT a.attname::text)
    FROM leaves AS l
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid AND d.refobjsubid > 0
        AND d.deptype IN ('n', 'a')
    JOIN pg_attribute AS a ON a.attrelid = l.oid AND a.attnum = d.refobjsubid
    LEFT JOIN pg_class AS i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid
    LEFT JOIN pg_constraint AS con ON d.classid = 'pg_constraint'::regclass AND con.oid = d.objid
    WHERE d.classid NOT IN ('pg_attrdef'::regclass, 'pg_trigger'::regclass)
        AND NOT coalesce(i.relispartition, false)
        AND NOT coalesce(con.conparentid <> 0 OR con.coninhcount > 0, false)
    GROUP BY l.table_oid, l.oid, l.nspname, l.relname, d.classid, d.objid
)
SELECT f.table_oid, jsonb_build_array(f.nspname, f.relname) AS leaf, f.what, f.columns
FROM found AS f
ORDER BY f.table_oid, f.nspname, f.relname, f.what


-- name: columns
-- Deparses generation expressions; a plain default is deparsed without its table (0), since it reads no column.
-- On server 18 attnotnull is true as well where NOT NULL is not yet validated; only the constraint tells.
WITH RECURSIVE members (whole, part) AS (
    SELECT DISTINCT a.atttypid, a.atttypid
    FROM pg_attribute AS a
    WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT m.whole, inner_type.oid
    FROM members AS m
    JOIN pg_type AS t ON t.oid = m.part
    CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT t.typelem WHERE t.typsubscript = 'array_subscript_handler'::regproc
        UNION ALL
        SELECT f.atttypid
        FROM pg_attribute AS f
        WHERE t.typtype = 'c' AND f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
    ) AS inner_type (oid)
),
unequal (type) AS (
    -- A base type counts as the types it is binary-coercible to, as varchar does as text (GetDefaultOpClass).
    SELECT DISTINCT m.whole
    FROM members AS m
    JOIN pg_type AS t ON t.oid = m.part
    WHERE t.typtype = 'b' AND t.typsubscript <> 'array_subscript_handler'::regproc
        AND NOT EXISTS (
            SELECT
            FROM pg_opclass AS o JOIN pg_am AS am ON am.oid = o.opcmethod
            WHERE o.opcdefault AND am.amname IN ('btree', 'hash')
                AND (o.opcintype = t.oid OR EXISTS (
                    SELECT FROM pg_cast AS k
                    WHERE k.castsource = t.oid AND k.casttarget = o.opcintype
                        AND k.castmethod = 'b' AND k.castcontext = 'i'))
        )
)
SELECT
    a.attrelid AS table_oid,
    a.attname::text AS name,
    a.attnum AS number,
    format_type(a.atttypid, a.atttypmod) AS type,
    t.typtype::text AS type_kind,
    a.attnotnull AND NOT EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.conrelid = a.attrelid AND c.contype = 'n' AND c.conkey = ARRAY[a.attnum] AND NOT c.convalidated
    ) AS not_null,
    pg_get_expr(d.adbin, CASE a.attgenerated WHEN '' THEN 0 ELSE a.attrelid END) AS default,
    CASE WHEN a.attgenerated <> '' THEN d.adbin::text END AS generation_tree,
    a.attidentity::text AS identity,
    a.attgenerated::text AS generated,
    CASE WHEN a.attcollation <> t.typcollation
        THEN quote_ident(cn.nspname) || '.' || '"' || replace(co.collname, '"', '""') || '"' END AS collation,
    coalesce(co.collisdeterministic, true) AS collation_deterministic,
    nullif(a.attstattarget, -1) AS statistics,
    CASE WHEN a.attstorage <> t.typstorage THEN
        CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
    END AS storage,
    CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    col_description(a.attrelid, a.attnum) AS comment,
    ARRAY(
        SELECT acl.privilege_type || ' TO '
            || CASE acl.grantee WHEN 0 THEN 'PUBLIC'
                ELSE '"' || replace(pg_get_userbyid(acl.grantee), '"', '""') || '"' END
            || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        FROM aclexplode(a.attacl) AS acl
        ORDER BY 1
    ) AS grants,
    NOT EXISTS (SELECT FROM unequal AS u WHERE u.type = a.atttypid) AS has_equality,
    (
        SELECT jsonb_build_array(sn.nspname, s.relname, format_type(q.seqtypid, NULL))
        FROM pg_depend AS dep
        JOIN pg_class AS s ON s.oid = dep.objid AND s.relkind = 'S'
        JOIN pg_sequence AS q ON q.seqrelid = s.oid
        JOIN pg_namespace AS sn ON sn.oid = s.relnamespace
        WHERE dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass
            AND dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum AND dep.deptype IN ('a', 'i')
        ORDER BY dep.deptype = 'i' DESC, s.oid
        LIMIT 1
    ) AS owned_sequence,
    array_to_string(a.attoptions, ',') AS options
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation AS co ON co.oid = a.attcollation
LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum


-- name: indexes
-- Deparses. An operator class is the default where CREATE INDEX would choose it for the type: int4 with oid_ops, which
-- sorts otherwise, is not.
SELECT
    i.indrelid AS table_oid,
    c.relname::text AS name,
    i.indexrelid AS oid,
    pg_get_indexdef(i.indexrelid) AS definition,
    concat(i.indexprs::text, i.indpred::text) AS tree,
    am.amname::text AS method,
    keys.columns,
    coalesce(keys.include, '{}') AS include,
    keys.collations,
    keys.descending,
    keys.nulls_first,
    keys.default_opclasses,
    i.indisunique AS unique,
    coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) AS nulls_not_distinct,
    i.indisprimary AS primary,
    i.indisexclusion AS exclusion,
    i.indimmediate AS immediate,
    i.indisvalid AS valid,
    i.indisready AS ready,
    i.indislive AS live,
    i.indpred IS NOT NULL AS partial,
    (
        SELECT con.conname::text FROM pg_constraint AS con
        WHERE con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x')
    ) AS constraint,
    i.indisclustered AS clustered,
    i.indisreplident AS replica_identity,
    obj_description(i.indexrelid, 'pg_class') AS comment,
    (SELECT s.spcname::text FROM pg_tablespace AS s WHERE s.oid = c.reltablespace) AS tablespace
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = c.relam
CROSS JOIN LATERAL (
    SELECT
        array_agg(a.attname::text ORDER BY k.n) FILTER (WHERE k.n <= i.indnkeyatts) AS columns,
        array_agg(a.attname::text ORDER BY k.n) FILTER (WHERE k.n > i.indnkeyatts) AS include,
        array_agg(
            CASE WHEN k.collated <> a.attcollation
                THEN quote_ident(cn.nspname) || '.' || '"' || replace(co.collname, '"', '""') || '"' END
            ORDER BY k.n
        ) FILTER (WHERE k.n <= i.indnkeyatts) AS collations,
        array_agg(k.options & 1 <> 0 ORDER BY k.n) FILTER (WHERE k.n <= i.indnkeyatts) AS descending,
        array_agg(k.options & 2 <> 0 ORDER BY k.n) FILTER (WHERE k.n <= i.indnkeyatts) AS nulls_first,
        bool_and(
            -- Under search_path = pg_catalog operators of other schemas (citext) are not found, those of text are instead.
            o.opcdefault AND o.opcnamespace = 'pg_catalog'::regnamespace AND (o.opcintype = base.oid OR NOT EXISTS (
                SELECT FROM pg_opclass AS exact
                WHERE exact.opcmethod = o.opcmethod AND exact.opcdefault AND exact.opcintype = base.oid))
        ) FILTER (WHERE k.n <= i.indnkeyatts) AS default_opclasses
    FROM unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[])
        WITH ORDINALITY AS k (attnum, opclass, collated, options, n)
    LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
    LEFT JOIN pg_attribute AS own ON own.attrelid = i.indexrelid AND own.attnum = k.n
    LEFT JOIN LATERAL (
        WITH RECURSIVE under (oid, domain_of) AS (
            SELECT t.oid, t.typbasetype FROM pg_type AS t WHERE t.oid = coalesce(a.atttypid, own.atttypid)
            UNION ALL
            SELECT t.oid, t.typbasetype FROM under JOIN pg_type AS t ON t.oid = under.domain_of
        )
        SELECT under.oid FROM under WHERE under.domain_of = 0
    ) AS base ON true
    LEFT JOIN pg_opclass AS o ON o.oid = k.opclass
    LEFT JOIN pg_collation AS co ON co.oid = k.collated
    LEFT JOIN pg_namespace AS cn ON cn.oid = co.collnamespace
) AS keys
WHERE i.indrelid = ANY (%(oids)s::oid[])
ORDER BY i.indrelid, c.relname


-- name: constraints
-- Deparses checks. Of foreign keys that point here, the ones cloned for partitions are left out.
SELECT
    side.table_oid,
    side.incoming,
    con.conname::text AS name,
    con.oid,
    con.contype::text AS type,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute AS a ON a.attrelid = con.conrelid AND a.attnum = k.attnum
        ORDER BY k.n
    ) AS columns,
    pg_get_constraintdef(con.oid) AS definition,
    con.convalidated AS validated,
    coalesce((to_jsonb(con) ->> 'conenforced')::bool, true) AS enforced,
    con.condeferrable AS deferrable,
    con.condeferred AS deferred,
    con.connoinherit AS no_inherit,
    (
        SELECT jsonb_build_array(fn.nspname, f.relname)
        FROM pg_class AS f JOIN pg_namespace AS fn ON fn.oid = f.relnamespace
        WHERE f.oid = con.confrelid
    ) AS references,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute AS a ON a.attrelid = con.confrelid AND a.attnum = k.attnum
        ORDER BY k.n
    ) AS referenced_columns,
    CASE WHEN side.incoming THEN jsonb_build_array(rn.nspname, r.relname) END AS table,
    (
        SELECT ic.relname::text FROM pg_class AS ic
        WHERE ic.oid = con.conindid AND (side.incoming OR con.contype IN ('p', 'u', 'x'))
    ) AS index,
    con.conbin::text AS tree,
    obj_description(con.oid, 'pg_constraint') AS comment
FROM (
    SELECT own.conrelid, false, own.oid FROM pg_constraint AS own WHERE own.conrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT fk.confrelid, true, fk.oid
    FROM pg_constraint AS fk
    WHERE fk.confrelid = ANY (%(oids)s::oid[]) AND fk.contype = 'f' AND fk.conparentid = 0
) AS side (table_oid, incoming, oid)
JOIN pg_constraint AS con ON con.oid = side.oid
JOIN pg_class AS r ON r.oid = con.conrelid
JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
ORDER BY side.table_oid, con.conname, rn.nspname, r.relname


-- name: triggers
-- Deparses. The bits of tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate (pg_trigger.h).
SELECT
    t.tgrelid AS table_oid,
    t.tgname::text AS name,
    t.oid,
    pg_get_triggerdef(t.oid) AS definition,
    jsonb_build_array(pn.nspname, p.proname) AS function,
    md5(p.prosrc || coalesce(array_to_string(p.proconfig, ','), '')) AS function_hash,
    CASE WHEN l.lanname NOT IN ('c', 'internal') THEN p.prosrc ELSE '' END AS source,
    t.tgtype & 2 <> 0 AS before,
    t.tgtype & 1 <> 0 AS row,
    array_remove(ARRAY[
        CASE WHEN t.tgtype & 4 <> 0 THEN 'insert' END,
        CASE WHEN t.tgtype & 16 <> 0 THEN 'update' END,
        CASE WHEN t.tgtype & 8 <> 0 THEN 'delete' END,
        CASE WHEN t.tgtype & 32 <> 0 THEN 'truncate' END
    ], NULL) AS events,
    ARRAY(
        SELECT a.attname::text
        FROM unnest(t.tgattr::int2[]) WITH ORDINALITY AS k (attnum, n)
        JOIN pg_attribute AS a ON a.attrelid = t.tgrelid AND a.attnum = k.attnum
        ORDER BY k.n
    ) AS update_of,
    t.tgqual::text AS tree,
    t.tgenabled::text AS enabled,
    t.tgconstraint <> 0 AS constraint,
    coalesce(starts_with(obj_description(t.oid, 'pg_trigger'), 'osc:'), false)
        OR coalesce(starts_with(obj_description(p.oid, 'pg_proc'), 'osc:'), false) AS ours
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
JOIN pg_namespace AS pn ON pn.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal
ORDER BY t.tgrelid, t.tgname


-- name: dependents
-- What pg_depend says of the table, of its row type and of the sequences of its columns, without the table's own parts
-- (indexes, constraints, triggers, generated columns, statistics), which are read by themselves.
WITH uses (classid, objid, objsubid, table_oid, attnum) AS (
    SELECT d.classid, d.objid, d.objsubid, d.refobjid, d.refobjsubid
    FROM pg_depend AS d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[])
        AND d.classid <> 'pg_class'::regclass
    UNION ALL
    SELECT d.classid, d.objid, d.objsubid, t.typrelid, 0
    FROM pg_type AS t JOIN pg_depend AS d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
    WHERE t.typrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT d.classid, d.objid, d.objsubid, owned.refobjid, owned.refobjsubid
    FROM pg_depend AS owned
    JOIN pg_class AS s ON s.oid = owned.objid AND s.relkind = 'S'
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
    WHERE owned.classid = 'pg_class'::regclass AND owned.refclassid = 'pg_class'::regclass
        AND owned.refobjid = ANY (%(oids)s::oid[]) AND owned.deptype IN ('a', 'i')
        AND d.classid = 'pg_attrdef'::regclass
),
dependents AS (
    SELECT
        u.classid, u.objid, u.objsubid, u.table_oid,
        coalesce(
            array_agg(DISTINCT a.attname::text) FILTER (WHERE a.attnum > 0), '{}'
        ) AS columns
    FROM uses AS u
    LEFT JOIN pg_attribute AS a ON a.attrelid = u.table_oid AND a.attnum = u.attnum
    GROUP BY u.classid, u.objid, u.objsubid, u.table_oid
)
SELECT
    dep.table_oid,
    CASE v.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'rule' END AS kind,
    CASE WHEN v.relkind IN ('v', 'm') THEN '' ELSE quote_ident(r.rulename) || ' ON ' END
        || quote_ident(n.nspname) || '.' || quote_ident(v.relname) AS name,
    dep.columns,
    v.relkind NOT IN ('v', 'm') AND v.oid = dep.table_oid AS own_rule
FROM dependents AS dep
JOIN pg_rewrite AS r ON dep.classid = 'pg_rewrite'::regclass AND r.oid = dep.objid
JOIN pg_class AS v ON v.oid = r.ev_class
JOIN pg_namespace AS n ON n.oid = v.relnamespace
WHERE NOT (v.oid = dep.table_oid AND v.relkind IN ('v', 'm'))
UNION ALL
SELECT
    dep.table_oid, 'policy',
    quote_ident(p.polname) || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname), dep.columns, false
FROM dependents AS dep
JOIN pg_policy AS p ON dep.classid = 'pg_policy'::regclass AND p.oid = dep.objid
JOIN pg_class AS c ON c.oid = p.polrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
UNION ALL
SELECT dep.table_oid, 'function', dep.objid::regprocedure::text, dep.columns, false
FROM dependents AS dep
WHERE dep.classid = 'pg_proc'::regclass
UNION ALL
SELECT
    dep.table_oid, 'column default',
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname), dep.columns, false
FROM dependents AS dep
JOIN pg_attrdef AS d ON dep.classid = 'pg_attrdef'::regclass AND d.oid = dep.objid AND d.adrelid <> dep.table_oid
JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_class AS c ON c.oid = d.adrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
UNION ALL
-- A column whose type is the table's row type: it forbids ALTER COLUMN TYPE and adding columns with a default.
SELECT
    dep.table_oid, 'other',
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname), dep.columns, false
FROM dependents AS dep
JOIN pg_attribute AS a ON dep.classid = 'pg_class'::regclass AND a.attrelid = dep.objid AND a.attnum = dep.objsubid
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE dep.objsubid > 0
UNION ALL
SELECT dep.table_oid, 'other', pg_describe_object(dep.classid, dep.objid, dep.objsubid), dep.columns, false
FROM dependents AS dep
LEFT JOIN pg_trigger AS t ON dep.classid = 'pg_trigger'::regclass AND t.oid = dep.objid
LEFT JOIN pg_type AS y ON dep.classid = 'pg_type'::regclass AND y.oid = dep.objid
WHERE dep.classid NOT IN (
        'pg_class'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass,
        'pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_statistic_ext'::regclass,
        'pg_publication_rel'::regclass
    )
    AND (t.oid IS NULL OR (NOT t.tgisinternal AND t.tgrelid <> dep.table_oid))
    AND (y.oid IS NULL OR y.typtype = 'd')
ORDER BY 1, 2, 3


-- name: statistics
SELECT
    s.stxrelid AS table_oid,
    quote_ident(n.nspname) || '.' || quote_ident(s.stxname) AS name,
    s.stxkeys::int2[] AS numbers,
    s.stxexprs::text AS tree
FROM pg_statistic_ext AS s
JOIN pg_namespace AS n ON n.oid = s.stxnamespace
WHERE s.stxrelid = ANY (%(oids)s::oid[])
ORDER BY s.stxrelid, n.nspname, s.stxname


-- name: publications
SELECT
    c.oid AS table_oid,
    p.pubname::text AS name,
    to_jsonb(r) -> 'prattrs' AS numbers,
    to_jsonb(r) ->> 'prqual' AS tree,
    p.pubupdate AS updates
FROM pg_class AS c
CROSS JOIN pg_publication AS p
LEFT JOIN pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = c.oid
WHERE c.oid = ANY (%(oids)s::oid[])
    AND (r.oid IS NOT NULL OR (p.puballtables AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'))
ORDER BY c.oid, p.pubname


-- name: publications_of_schemas
-- Server 15 and later.
SELECT c.oid AS table_oid, p.pubname::text AS name, NULL AS numbers, NULL AS tree, p.pubupdate AS updates
FROM pg_class AS c
JOIN pg_publication_namespace AS s ON s.pnnspid = c.relnamespace
JOIN pg_publication AS p ON p.oid = s.pnpubid
WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
ORDER BY c.oid, p.pubname


-- name: relation_names
SELECT n.nspname::text AS schema, array_agg(c.relname::text ORDER BY c.relname) AS names
FROM pg_namespace AS n
JOIN pg_class AS c ON c.relnamespace = n.oid
WHERE n.nspname = ANY (%(schemas)s::text[])
GROUP BY n.nspname
ORDER BY n.nspname


-- name: table_names
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname
