-- What a fill looks at before it goes on. Log positions are bytes since the beginning of the log.
-- Read-only; each statement takes ACCESS SHARE on catalogs only. Columns about other roles' sessions are NULL without
-- pg_monitor (or pg_read_all_stats), which is told as unknown.

-- name: replicas
-- Who streams from here. A logical walsender is known by its slot.
SELECT r.pid, r.application_name, r.state,
       (pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
       (r.replay_lsn - '0/0'::pg_lsn)::bigint AS replayed,
       extract(epoch FROM r.replay_lag)::float8 AS lag_s,
       EXISTS (SELECT FROM pg_catalog.pg_replication_slots AS s
               WHERE s.active_pid = r.pid AND s.slot_type = 'logical') AS is_logical
FROM pg_catalog.pg_stat_replication AS r
WHERE r.state IS DISTINCT FROM 'backup'
ORDER BY r.application_name, r.pid;

-- name: unconnected
-- Standbys that have a slot and are not there: how far behind they are, nobody knows.
SELECT s.slot_name::text AS slot_name FROM pg_catalog.pg_replication_slots AS s
WHERE s.slot_type = 'physical' AND NOT s.active AND s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost'
ORDER BY 1;

-- name: slots
-- safe_wal_size is what may still be written before the slot's WAL is in danger; NULL without max_slot_wal_keep_size.
SELECT s.slot_name::text AS slot_name, s.active,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint AS retained,
       s.wal_status, s.safe_wal_size
FROM pg_catalog.pg_replication_slots AS s
WHERE s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost'
ORDER BY 3 DESC;

-- name: written
SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS written;

-- name: archives
SELECT pg_catalog.current_setting('archive_mode') <> 'off' AS archives;

-- name: archive_queue
-- pg_ls_archive_statusdir is granted to pg_monitor.
SELECT (SELECT count(*) FROM pg_catalog.pg_ls_archive_statusdir() AS f WHERE f.name ~ '^[0-9A-F]{24}\.ready$') AS waiting,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) AS fails
FROM pg_catalog.pg_stat_archiver AS a;

-- name: active
-- What works for somebody else.
SELECT count(*) FILTER (WHERE a.state = 'active') AS active, count(*) FILTER (WHERE a.state IS NULL) AS hidden
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_type IS NOT DISTINCT FROM 'client backend' AND a.application_name NOT LIKE 'osc:%%'
   OR a.backend_type IS NULL;

-- name: at_work
-- Who has run something for somebody else within so many seconds, in any database: they share its processors.
-- Asked five times a second, so it reads what is beneath the view: that is planned in a tenth of the time.
SELECT count(*) FILTER (WHERE a.state = 'active'
                           OR a.state_change > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(within_s)s)
       ) AS seen,
       count(*) FILTER (WHERE a.state IS NULL AND a.backend_type IS NULL) AS hidden
FROM pg_catalog.pg_stat_get_activity(NULL) AS a
WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL AND a.application_name NOT LIKE 'osc:%%'
  AND (a.backend_type = 'client backend' OR a.backend_type IS NULL);

-- name: lock_waiters
SELECT count(DISTINCT l.pid) AS waiting
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE NOT l.granted AND coalesce(a.application_name, '') NOT LIKE 'osc:%%';

-- name: somebody_waits
-- Whether anybody waits for a lock, or may as far as this role can see. Asked five times a second and hardly ever true, so it
-- too reads what is beneath the view.
SELECT coalesce(bool_or(a.wait_event_type = 'Lock' OR a.backend_type IS NULL), false) AS somebody_waits
FROM pg_catalog.pg_stat_get_activity(NULL) AS a;

-- name: waiters
-- Who waits for one of our sessions, the longest first. pg_blocking_pids takes the lock manager's partitions for a moment, so
-- only those are asked about who wait: as their sessions say, or, where these are hidden, the locks.
WITH ours AS MATERIALIZED (
    SELECT array_agg(a.pid) AS pids FROM pg_catalog.pg_stat_activity AS a
    WHERE a.application_name = %(application)s AND a.datname = pg_catalog.current_database()
), waiting AS MATERIALIZED (
    SELECT a.pid FROM pg_catalog.pg_stat_activity AS a WHERE a.wait_event_type = 'Lock'
    UNION
    SELECT l.pid FROM pg_catalog.pg_locks AS l
    WHERE NOT l.granted AND (SELECT bool_or(a.backend_type IS NULL) FROM pg_catalog.pg_stat_activity AS a)
), blocked AS MATERIALIZED (
    SELECT w.pid FROM waiting AS w, ours AS o
    WHERE w.pid <> ALL (o.pids) AND pg_catalog.pg_blocking_pids(w.pid) && o.pids
), since AS (
    -- waitstart is NULL for a moment after a wait began.
    SELECT b.pid, coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - min(l.waitstart)), 0)::float8 AS waits_s
    FROM blocked AS b
    JOIN pg_catalog.pg_locks AS l ON l.pid = b.pid AND NOT l.granted
    GROUP BY b.pid
)
SELECT s.pid, coalesce(a.application_name, '') AS application_name, s.waits_s, count(*) OVER () - 1 AS others
FROM since AS s
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = s.pid
ORDER BY s.waits_s DESC
LIMIT 1;

-- name: vacuums
-- Vacuums of the table or a leaf of it. Which table is hidden without pg_monitor; its lock is not, and the table's age
-- stands for the words "(to prevent wraparound)".
WITH tables AS (
    SELECT c.oid, c.relfrozenxid, c.relminmxid
    FROM pg_catalog.pg_class AS t
    JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
    JOIN pg_catalog.pg_class AS c ON c.oid = t.oid OR t.relkind = 'p' AND c.oid IN (
        SELECT p.relid FROM pg_catalog.pg_partition_tree(t.oid) AS p
    )
    WHERE n.nspname = %(schema)s AND t.relname = %(table)s
)
SELECT DISTINCT p.pid,
       coalesce(
           nullif(a.query, '<insufficient privilege>') LIKE '%%(to prevent wraparound)%%',
           age(t.relfrozenxid) > pg_catalog.current_setting('autovacuum_freeze_max_age')::bigint
           OR mxid_age(t.relminmxid) > pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::bigint
       ) AS prevents_wraparound
FROM pg_catalog.pg_stat_progress_vacuum AS p
JOIN tables AS t ON t.oid = p.relid OR p.relid IS NULL AND EXISTS (
    SELECT FROM pg_catalog.pg_locks AS l
    WHERE l.pid = p.pid AND l.relation = t.oid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
)
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.pid
WHERE p.datname = pg_catalog.current_database() AND a.application_name IS DISTINCT FROM %(ours)s
ORDER BY 1;

-- name: dead_rows
SELECT coalesce(sum(pg_catalog.pg_stat_get_dead_tuples(c.oid)), 0)::bigint AS dead,
       coalesce(sum(pg_catalog.pg_stat_get_live_tuples(c.oid)), 0)::bigint AS live
FROM pg_catalog.pg_class AS t
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class AS c ON c.oid = t.oid OR t.relkind = 'p' AND c.oid IN (
    SELECT p.relid FROM pg_catalog.pg_partition_tree(t.oid) AS p WHERE p.isleaf
)
WHERE n.nspname = %(schema)s AND t.relname = %(table)s;

-- name: xmin_holders
-- What keeps this database's dead rows. Vacuum's own snapshot does not; a slot's catalog_xmin only those of catalogs.
-- Since when a slot or standby holds, the server does not tell.
SELECT 'pid ' || a.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '') AS who,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age_s, NULL AS xmin, false AS hidden
FROM pg_catalog.pg_stat_activity AS a
WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start IS NOT NULL
  AND a.datname = pg_catalog.current_database() AND a.application_name NOT LIKE 'osc:%%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum AS p WHERE p.pid = a.pid)
UNION ALL
SELECT 'prepared transaction ' || quote_literal(p.gid),
       extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)::float8, NULL, false
FROM pg_catalog.pg_prepared_xacts AS p
WHERE p.database = pg_catalog.current_database()
UNION ALL
SELECT 'slot ' || s.slot_name, NULL, s.xmin::text, false
FROM pg_catalog.pg_replication_slots AS s
WHERE s.xmin IS NOT NULL
UNION ALL
SELECT 'standby ' || coalesce(nullif(r.application_name, ''), 'pid ' || r.pid), NULL, r.backend_xmin::text, false
FROM pg_catalog.pg_stat_replication AS r
WHERE r.backend_xmin IS NOT NULL
UNION ALL
SELECT '', NULL, NULL, true
WHERE EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_type IS NULL AND a.datname = pg_catalog.current_database()
)
ORDER BY 4 DESC, 2 DESC NULLS FIRST, 1
LIMIT 100;

-- name: xid_age
SELECT d.datname::text AS database, age(d.datfrozenxid)::bigint AS age,
       pg_catalog.current_setting('autovacuum_freeze_max_age')::bigint AS insists,
       pg_catalog.current_setting('vacuum_failsafe_age')::bigint AS failsafe
FROM pg_catalog.pg_database AS d
ORDER BY 2 DESC
LIMIT 1;

-- name: multixact_age
SELECT d.datname::text AS database, mxid_age(d.datminmxid)::bigint AS age,
       pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::bigint AS insists,
       pg_catalog.current_setting('vacuum_multixact_failsafe_age')::bigint AS failsafe
FROM pg_catalog.pg_database AS d
ORDER BY 2 DESC
LIMIT 1;

-- name: places
-- Directories of the server's machine; data_directory may be read by pg_monitor.
SELECT pg_catalog.current_setting('data_directory') AS place
UNION
SELECT pg_catalog.current_setting('data_directory') || '/pg_wal'
UNION
SELECT nullif(pg_catalog.pg_tablespace_location(c.reltablespace), '')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(table)s AND c.reltablespace <> 0
  AND pg_catalog.pg_tablespace_location(c.reltablespace) <> '';
