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
SELECT m.schema_version,
       m.system_identifier = c.system_identifier::text AS same_server,
       m.database_oid = d.oid AS same_database
  FROM osc.meta AS m, pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
 WHERE d.datname = pg_catalog.current_database()

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
