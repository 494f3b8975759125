-- Looking at, creating and migrating schema osc.

-- name: look
-- What is there, from the catalog alone: nothing in the schema is touched before its owner is known. Membership is
-- followed by hand, because pg_has_role() says yes to a superuser whoever owns the schema. ACCESS SHARE on catalogs.
WITH RECURSIVE mine (oid) AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
    UNION
    SELECT m.roleid FROM pg_catalog.pg_auth_members AS m JOIN mine ON m.member = mine.oid
)
SELECT n.nspowner IN (SELECT oid FROM mine) AS owner_is_ours,
       pg_catalog.pg_get_userbyid(n.nspowner)::text AS owner,
       pg_catalog.pg_get_userbyid(n.nspowner) = current_user AS owner_is_me,
       COALESCE((SELECT r.relkind = 'r' AND r.relowner = n.nspowner FROM pg_catalog.pg_class AS r
                  WHERE r.relnamespace = n.oid AND r.relname = 'meta'), false) AS has_meta,
       ARRAY(SELECT r.relname::text FROM pg_catalog.pg_class AS r
              WHERE r.relnamespace = n.oid AND r.relkind = 'r' ORDER BY 1) AS tables,
       ARRAY(SELECT r.relname::text || '.' || a.attname::text
               FROM pg_catalog.pg_class AS r JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid
              WHERE r.relnamespace = n.oid AND r.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       ARRAY(SELECT r.relname::text FROM pg_catalog.pg_class AS r
              WHERE r.relnamespace = n.oid AND r.relowner <> n.nspowner
             UNION ALL
             SELECT p.proname::text FROM pg_catalog.pg_proc AS p
              WHERE p.pronamespace = n.oid AND p.proowner <> n.nspowner) AS foreign_objects,
       ARRAY(SELECT r.relname::text || '.' || t.tgname::text
               FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS r ON r.oid = t.tgrelid
              WHERE r.relnamespace = n.oid AND NOT t.tgisinternal
                AND (r.relname, t.tgname) <> ('event', 'event_is_append_only')) AS extra_triggers,
       EXISTS (SELECT FROM pg_catalog.pg_class AS r WHERE r.relnamespace = n.oid)
           OR EXISTS (SELECT FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = n.oid) AS holds_something
  FROM pg_catalog.pg_namespace AS n
 WHERE n.nspname = 'osc'

-- name: meta
-- The columns that a later migration adds are asked for by name in JSON, so that an older state can be read as well.
WITH here AS (
    SELECT c.system_identifier::text AS system_identifier, d.oid AS database_oid,
           pg_catalog.current_setting('port')::integer AS server_port,
           pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS timeline
      FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
     WHERE d.datname = pg_catalog.current_database()
), meta AS (
    SELECT m.schema_version, m.system_identifier, m.database_oid,
           (pg_catalog.to_jsonb(m) ->> 'server_port')::integer AS server_port, pg_catalog.to_jsonb(m) ->> 'timeline' AS timeline
      FROM osc.meta AS m
)
SELECT m.schema_version,
       m.system_identifier = h.system_identifier AS same_server,
       m.database_oid = h.database_oid AS same_database,
       COALESCE(h.timeline >= m.timeline, true) AS not_behind,
       COALESCE(h.timeline > m.timeline, false) AS promoted,
       COALESCE(h.timeline <> m.timeline OR h.server_port = m.server_port, true) AS same_place,
       h.system_identifier, h.database_oid, h.server_port, h.timeline
  FROM meta AS m, here AS h

-- name: follow_promotion
-- A standby took over: state and data came with the same WAL, so the changes go on here. Of several who see it one writes.
WITH here AS (
    SELECT pg_catalog.current_setting('port')::integer AS server_port,
           pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS timeline
), moved AS (
    UPDATE osc.meta AS m SET server_port = h.server_port, timeline = h.timeline
      FROM here AS h WHERE m.timeline < h.timeline
    RETURNING m.timeline
)
SELECT osc.record_event(NULL, 'promoted', pg_catalog.jsonb_build_object('timeline', moved.timeline), 'osc', NULL) AS event
  FROM moved

-- name: adopt
-- Somebody says that this copy is where the changes are to go on. Who led them did so elsewhere: nobody leads here, and
-- the server processes on record are of another server. What was open stays open and is found by the next leader.
-- A restored dump has other oids, so what was recorded by oid is found by name and definition from here on. A program's
-- hash leaves out the catalogs that it expects.
WITH here AS (
    SELECT c.system_identifier::text AS system_identifier, d.oid AS database_oid,
           pg_catalog.current_setting('port')::integer AS server_port,
           pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS timeline
      FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
     WHERE d.datname = pg_catalog.current_database()
), elsewhere AS MATERIALIZED (
    -- Where the state is at home already nobody loses the lead, and what a takeover must end stays on record.
    SELECT FROM osc.meta AS m, here AS h
     WHERE (m.system_identifier, m.database_oid, m.server_port, m.timeline)
           IS DISTINCT FROM (h.system_identifier, h.database_oid, h.server_port, h.timeline)
), beats AS (
    UPDATE osc.heartbeat AS h SET owner = NULL, expires_at = clock_timestamp()
     WHERE EXISTS (SELECT FROM elsewhere)
    RETURNING h.change
), leases AS (
    UPDATE osc.lease AS l SET owner = NULL FROM beats WHERE l.change = beats.change
), backends AS (
    DELETE FROM osc.backend WHERE EXISTS (SELECT FROM elsewhere)
), programs AS (
    UPDATE osc.change AS c
       SET program = pg_catalog.jsonb_set(c.program, '{phases}', (
               SELECT pg_catalog.jsonb_agg(CASE WHEN p.phase #> '{expects,tables}' IS NULL THEN p.phase ELSE
                          pg_catalog.jsonb_set(p.phase, '{expects,tables}', COALESCE((
                              SELECT pg_catalog.jsonb_agg(t.item || '{"oid": null}' || pg_catalog.jsonb_build_object('triggers', COALESCE((
                                         SELECT pg_catalog.jsonb_agg(g.item || '{"oid": null}' ORDER BY g.n)
                                           FROM pg_catalog.jsonb_array_elements(t.item -> 'triggers')
                                                WITH ORDINALITY AS g (item, n)), '[]')) ORDER BY t.n)
                                FROM pg_catalog.jsonb_array_elements(p.phase #> '{expects,tables}')
                                     WITH ORDINALITY AS t (item, n)), '[]')) END ORDER BY p.n)
                 FROM pg_catalog.jsonb_array_elements(c.program -> 'phases') WITH ORDINALITY AS p (phase, n)))
     WHERE c.state NOT IN ('done', 'rolled_back')
       AND EXISTS (SELECT FROM osc.meta AS m, here AS h
                    WHERE (m.system_identifier, m.database_oid) <> (h.system_identifier, h.database_oid))
), results AS (
    UPDATE osc.step AS s
       SET result = CASE s.kind WHEN 'index' THEN s.result || '{"oid": 0}' ELSE s.result - 'oid' END
     WHERE s.result ? 'oid'
       AND EXISTS (SELECT FROM osc.meta AS m, here AS h
                    WHERE (m.system_identifier, m.database_oid) <> (h.system_identifier, h.database_oid))
), adopted AS (
    UPDATE osc.meta AS m
       SET system_identifier = h.system_identifier, database_oid = h.database_oid, server_port = h.server_port,
           timeline = h.timeline
      FROM here AS h
     WHERE EXISTS (SELECT FROM elsewhere)
    RETURNING m.only_row
)
SELECT osc.record_event(NULL, 'adopt', %(data)s, %(who)s, NULL) AS event FROM adopted

-- name: version
SELECT m.schema_version FROM osc.meta AS m

-- name: begin
-- One message from here to `commit`: no lock outlives a client round trip.
BEGIN;
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';
SET LOCAL search_path = pg_catalog;

-- name: become_owner
-- What a member of the owning role creates must belong to that role as well.
SET LOCAL ROLE {owner};

-- name: create_schema
CREATE SCHEMA osc;

-- name: lock
-- Migrations of several executors queue here; readers do not (SHARE ROW EXCLUSIVE lets ACCESS SHARE pass).
LOCK TABLE osc.meta IN SHARE ROW EXCLUSIVE MODE;
DO $guard$
BEGIN
    IF (SELECT m.schema_version FROM osc.meta AS m) <> {before} THEN
        RAISE EXCEPTION 'another executor migrated the state meanwhile' USING ERRCODE = '40001';
    END IF;
END
$guard$;

-- name: commit
UPDATE osc.meta SET schema_version = {version};
COMMIT;
