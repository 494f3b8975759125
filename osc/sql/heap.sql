-- How a table lies in its heap. Read-only; takes ACCESS SHARE on catalogs only.

-- name: heap
-- Sizes are of now; rows, widths and correlation are from the last ANALYZE or vacuum, and NULL where there was none.
-- Growth is what the filled columns take in a row; texts and the like are taken for 16 bytes.
-- Correlation is that of the key's first column. Rows are counted for the blocks of now, as the planner does.
SELECT s.blocks, pg_catalog.pg_relation_filenode(c.oid)::bigint AS filenode,
       CASE WHEN c.reltuples > 0 AND c.relpages > 0 THEN c.reltuples::float8 / c.relpages END AS rows_per_block,
       COALESCE((SELECT o.option_value::integer FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'fillfactor'), 100) AS fillfactor,
       (SELECT sum(t.avg_width)::float8 FROM pg_catalog.pg_stats AS t
         WHERE t.schemaname = n.nspname AND t.tablename = c.relname AND NOT t.inherited) AS width,
       (SELECT abs(t.correlation)::float8 FROM pg_catalog.pg_stats AS t
         WHERE t.schemaname = n.nspname AND t.tablename = c.relname AND t.attname = %(key)s::name AND NOT t.inherited)
           AS correlation,
       (SELECT sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 16 END)::float8 FROM pg_catalog.pg_attribute AS a
         WHERE a.attrelid = c.oid AND a.attname = ANY (%(columns)s::name[])) AS growth,
       (SELECT count(*) FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indislive) AS indexes,
       EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                 JOIN pg_catalog.pg_index AS i ON i.indexrelid = d.objid
                 JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
                  AND d.refobjid = c.oid AND a.attname = ANY (%(columns)s::name[])) AS is_indexed
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint AS blocks) AS s
 WHERE c.oid = %(table)s::regclass
