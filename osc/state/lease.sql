-- Who leads. Expiry is always judged by the database's clock.

-- name: register_executor
INSERT INTO osc.executor AS e (owner, host, pid, kind) VALUES (%(owner)s, %(host)s, %(pid)s, %(kind)s)
    ON CONFLICT (owner) DO UPDATE SET seen_at = clock_timestamp()

-- name: forget_executors
-- Those that lead nothing and were not seen for so long.
DELETE FROM osc.executor AS e
 WHERE e.seen_at < clock_timestamp() - make_interval(secs => %(seconds)s)
   AND NOT EXISTS (SELECT FROM osc.heartbeat AS h WHERE h.owner = e.owner)
   AND NOT EXISTS (SELECT FROM osc.backend AS b WHERE b.owner = e.owner)

-- name: take
SELECT osc.take_lease(%(change)s, %(owner)s, %(lease_s)s) AS epoch

-- name: heartbeat
-- Only rows of its own: no step, slice or change ever waits for a heartbeat, and none makes it wait.
WITH beat AS (
    UPDATE osc.heartbeat AS h SET expires_at = clock_timestamp() + make_interval(secs => h.lease_s)
     WHERE h.change = %(change)s AND h.owner = %(owner)s AND h.epoch = %(epoch)s
    RETURNING h.owner
), seen AS (
    UPDATE osc.executor AS e SET seen_at = clock_timestamp() FROM beat WHERE e.owner = beat.owner
)
SELECT beat.owner FROM beat

-- name: release
-- The heartbeat first, as in osc.take_lease. The epoch stays: it only ever grows.
WITH ended AS (
    UPDATE osc.heartbeat AS h SET owner = NULL, expires_at = clock_timestamp()
     WHERE h.change = %(change)s AND h.owner = %(owner)s AND h.epoch = %(epoch)s
    RETURNING h.change
)
UPDATE osc.lease AS l SET owner = NULL FROM ended WHERE l.change = ended.change
RETURNING l.change

-- name: record_backend
-- The lease row is shared for this statement: an old epoch cannot add a backend once its successor has looked.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
)
INSERT INTO osc.backend (owner, change, epoch, pid, backend_start)
SELECT %(owner)s, leader.change, %(epoch)s, %(pid)s, %(backend_start)s FROM leader
    ON CONFLICT (change, epoch, pid, backend_start) DO UPDATE SET owner = EXCLUDED.owner
RETURNING change

-- name: old_backends
-- A pid alone proves nothing, pids are used again. Without the right to see another role's session its start is NULL:
-- then it may be the one, and counts as alive.
SELECT b.owner, b.change, b.epoch, b.pid, b.backend_start, a.pid IS NOT NULL AS alive
  FROM osc.backend AS b
  LEFT JOIN pg_catalog.pg_stat_activity AS a
         ON a.pid = b.pid AND (a.backend_start = b.backend_start OR a.backend_start IS NULL)
 WHERE b.change = %(change)s AND b.epoch < %(epoch)s
 ORDER BY b.epoch, b.pid

-- name: forget_backends
DELETE FROM osc.backend AS b WHERE b.change = %(change)s AND b.epoch < %(epoch)s

-- name: leaders
SELECT h.change, h.owner, h.epoch, COALESCE(e.host, '') AS host, COALESCE(e.pid, 0) AS pid, COALESCE(e.kind, '') AS kind,
       extract(epoch FROM h.expires_at - clock_timestamp())::float8 AS expires_in_s,
       h.expires_at > clock_timestamp() AS alive
  FROM osc.heartbeat AS h LEFT JOIN osc.executor AS e ON e.owner = h.owner
 WHERE h.change = ANY (%(changes)s::bigint[]) AND h.owner IS NOT NULL
