-- What a fill looks at before it goes on. Log positions are bytes since the beginning of the log.

-- name: replicas
-- Who streams from here. Without pg_monitor (or pg_read_all_stats) all but the pid is NULL, which is told as unknown.
SELECT r.pid, r.application_name, r.state,
       (pg_catalog.pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
       (r.replay_lsn - '0/0'::pg_lsn)::bigint AS replayed,
       extract(epoch FROM r.replay_lag)::float8 AS lag_s
FROM pg_catalog.pg_stat_replication AS r
WHERE r.state IS DISTINCT FROM 'backup'
ORDER BY r.application_name, r.pid;

-- name: unconnected
-- Standbys that have a slot and are not there: how far behind they are, nobody knows.
SELECT s.slot_name::text AS slot_name FROM pg_catalog.pg_replication_slots AS s
WHERE s.slot_type = 'physical' AND NOT s.active AND s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost'
ORDER BY 1;

-- name: slots
SELECT s.slot_name::text AS slot_name, s.active,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint AS retained
FROM pg_catalog.pg_replication_slots AS s
WHERE s.restart_lsn IS NOT NULL AND s.wal_status IS DISTINCT FROM 'lost'
ORDER BY 3 DESC;

-- name: written
SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS written;

-- name: active
-- What works for somebody else. The state of other roles' sessions is NULL without pg_monitor.
SELECT count(*) FILTER (WHERE a.state = 'active') AS active, count(*) FILTER (WHERE a.state IS NULL) AS hidden
FROM pg_catalog.pg_stat_activity AS a
WHERE a.backend_type IS NOT DISTINCT FROM 'client backend' AND a.application_name NOT LIKE 'osc:%%'
   OR a.backend_type IS NULL;
