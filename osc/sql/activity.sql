-- Who else is on the server: holders of locks and snapshots, progress of builds, and ends of sessions.
-- Read-only but for `terminate`. Each statement takes ACCESS SHARE on catalogs only.

-- name: holders
-- Sessions and prepared transactions that hold a lock on one of the tables, or wait for one, in one of the modes
-- given for that table. For a role without pg_read_all_stats, columns about other roles' sessions are NULL; autovacuum
-- is then known by having no user, and whether it prevents wraparound by the age of the table.
WITH wanted AS (
    SELECT l.oid, ln.nspname, l.relname, w.modes, l.relfrozenxid, l.relminmxid, l.reloptions
    FROM ROWS FROM (
        unnest(%(schemas)s::text[]), unnest(%(tables)s::text[]), unnest(%(modes)s::text[]), unnest(%(leaves)s::bool[])
    ) AS w (nspname, relname, modes, leaves)
    JOIN pg_namespace n ON n.nspname = w.nspname
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relname
    CROSS JOIN LATERAL (
        -- pg_partition_tree() would lock what it looks at, and so wait for those who are looked for.
        WITH RECURSIVE tree (oid) AS (
            SELECT c.oid
            UNION ALL
            SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid WHERE w.leaves
        )
        SELECT tree.oid FROM tree
    ) AS reached
    JOIN pg_class l ON l.oid = reached.oid
    JOIN pg_namespace ln ON ln.oid = l.relnamespace
), limits AS (
    SELECT w.oid,
           least(current_setting('autovacuum_freeze_max_age')::bigint, o.freeze_max_age) AS freeze_max_age,
           least(current_setting('autovacuum_multixact_freeze_max_age')::bigint, o.multixact_max_age) AS multixact_max_age
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT max(option_value::bigint) FILTER (WHERE option_name = 'autovacuum_freeze_max_age') AS freeze_max_age,
               max(option_value::bigint) FILTER (WHERE option_name = 'autovacuum_multixact_freeze_max_age')
                   AS multixact_max_age
        FROM pg_options_to_table(w.reloptions)
        WHERE option_name IN ('autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age')
    ) o
), locks AS MATERIALIZED (
    SELECT * FROM pg_locks
), prepared AS (
    -- Its locks keep the virtual id of the session that prepared it (after a restart -1/xid), without a pid.
    SELECT x.virtualtransaction, p.gid, p.prepared
    FROM locks x
    JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
    WHERE x.pid IS NULL AND x.locktype = 'transactionid'
), seen AS (
    SELECT l.pid, l.virtualtransaction, l.mode, l.granted, w.nspname, w.relname,
           a.pid IS NOT NULL AND (
               a.backend_type = 'autovacuum worker'
               OR a.usesysid IS NULL AND a.backend_type IS NULL
           ) AS is_autovacuum,
           w.relfrozenxid <> '0'::xid
               AND (age(w.relfrozenxid) > m.freeze_max_age OR mxid_age(w.relminmxid) > m.multixact_max_age) AS is_old,
           a.backend_start, a.xact_start, a.state, a.application_name, a.query, a.wait_event_type, a.wait_event,
           p.gid, p.prepared
    FROM wanted w
    JOIN limits m ON m.oid = w.oid
    JOIN locks l ON l.locktype = 'relation' AND l.relation = w.oid AND l.mode = ANY (string_to_array(w.modes, ','))
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN prepared p ON l.pid IS NULL AND p.virtualtransaction = l.virtualtransaction
)
SELECT pid, backend_start, nspname AS schema, relname AS name, mode, granted,
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, prepared))::float8 AS age_s,
       coalesce(virtualtransaction, '') AS transaction,
       coalesce(state, CASE WHEN gid IS NOT NULL THEN 'prepared' END, '') AS state,
       coalesce(application_name, '') AS application_name,
       coalesce(CASE WHEN gid IS NOT NULL THEN 'PREPARE TRANSACTION ' || quote_literal(gid) END, query, '') AS query,
       coalesce(wait_event_type || ':' || wait_event, '') AS wait_event,
       is_autovacuum,
       is_autovacuum AND CASE
           WHEN query LIKE 'autovacuum:%%' THEN query LIKE '%%(to prevent wraparound)%%'
           ELSE is_old
       END AS to_prevent_wraparound
FROM seen
WHERE pid IS DISTINCT FROM pg_backend_pid() AND NOT coalesce(pid = ANY (%(not_pids)s::int[]), false)
ORDER BY granted DESC, age_s DESC NULLS LAST, pid;

-- name: snapshot_holders
-- What CREATE INDEX CONCURRENTLY waits for: transactions of this database with a snapshot older than so many seconds.
-- Snapshots of vacuum are not waited for.
SELECT a.pid, a.backend_start,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s,
       coalesce(age(a.backend_xmin), 0)::bigint AS xmin_age,
       coalesce(a.state, '') AS state,
       coalesce(a.application_name, '') AS application_name,
       coalesce(a.query, '') AS query,
       coalesce(a.wait_event_type || ':' || a.wait_event, '') AS wait_event
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
  AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'walsender')
  AND clock_timestamp() - a.xact_start >= make_interval(secs => %(older_than_s)s::float8)
UNION ALL
SELECT NULL, NULL, extract(epoch FROM clock_timestamp() - p.prepared)::float8, age(p.transaction)::bigint, 'prepared', '',
       'PREPARE TRANSACTION ' || quote_literal(p.gid), ''
FROM pg_prepared_xacts p
WHERE p.database = current_database()
  AND clock_timestamp() - p.prepared >= make_interval(secs => %(older_than_s)s::float8)
ORDER BY age_s DESC;

-- name: index_progress
SELECT p.pid, p.phase, p.command, coalesce(p.index_relid, 0)::bigint AS index_oid,
       coalesce(p.lockers_total, 0) AS lockers_total, coalesce(p.lockers_done, 0) AS lockers_done,
       nullif(p.current_locker_pid, 0)::int AS current_locker_pid,
       coalesce(p.blocks_total, 0) AS blocks_total, coalesce(p.blocks_done, 0) AS blocks_done,
       coalesce(p.tuples_total, 0) AS tuples_total, coalesce(p.tuples_done, 0) AS tuples_done
FROM pg_stat_progress_create_index p
WHERE p.pid = %(pid)s AND p.phase IS NOT NULL;

-- name: doing
SELECT coalesce(a.state, '') AS state, coalesce(a.wait_event_type = 'Lock', false) AS waits
FROM pg_stat_activity a
WHERE a.pid = %(pid)s;

-- name: waits_for
-- Only asked for a session that waits: pg_blocking_pids takes the lock manager's partitions for a moment.
SELECT a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s, coalesce(a.state, '') AS state,
       coalesce(a.application_name, '') AS application_name, coalesce(a.query, '') AS query
FROM pg_stat_activity a
WHERE a.pid = ANY (pg_blocking_pids(%(pid)s))
ORDER BY a.xact_start NULLS LAST, a.pid;

-- name: backend_of
SELECT a.pid, a.backend_start
FROM pg_stat_activity a
WHERE a.pid = pg_backend_pid();

-- name: backend_alive
-- A start that we may not see counts as the same session: unknown is alive.
SELECT EXISTS (
    SELECT FROM pg_stat_activity a
    WHERE a.pid = %(pid)s AND coalesce(a.backend_start = %(backend_start)s, true)
);

-- name: terminate
-- pg_terminate_backend on this one session; a later session with the same pid is let alone.
SELECT coalesce(bool_or(pg_terminate_backend(a.pid)), false)
FROM pg_stat_activity a
WHERE a.pid = %(pid)s AND a.backend_start = %(backend_start)s;

-- name: who_waits_on
-- pg_blocking_pids takes the lock manager's partitions one moment each, so only waiting sessions are asked about.
WITH waiting AS (
    SELECT DISTINCT l.pid, l.waitstart FROM pg_locks l WHERE NOT l.granted AND l.pid IS NOT NULL
), blocked AS MATERIALIZED (
    SELECT w.pid, w.waitstart, pg_blocking_pids(w.pid) AS blockers FROM waiting w
)
SELECT b.pid, b.blockers AS blocked_by,
       extract(epoch FROM clock_timestamp() - b.waitstart)::float8 AS waits_s,
       coalesce(a.application_name, '') AS application_name,
       coalesce(a.query, '') AS query
FROM blocked b
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
WHERE b.blockers && %(pids)s::int[] AND b.pid <> ALL (%(pids)s::int[])
ORDER BY waits_s DESC NULLS LAST, b.pid;
