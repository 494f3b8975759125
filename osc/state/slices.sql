-- Slices of a fill, the windows it skipped and the rows it could not fill. Batches themselves are statements of
-- osc.sql.batch; here is what goes on around them.

-- name: create
-- Only once for a step, or a leaf of its table: a second call, after a crash, finds the slices that are there.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
)
INSERT INTO osc.slice (change, step, lo, hi, walk, filenode, leaf, epoch)
SELECT leader.change, %(step)s,
       CASE WHEN jsonb_typeof(b.bounds -> 0) = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(b.bounds -> 0)) END,
       CASE WHEN jsonb_typeof(b.bounds -> 1) = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(b.bounds -> 1)) END,
       %(walk)s, %(filenode)s::bigint::oid, %(leaf)s::bigint::oid, 0
  FROM leader, jsonb_array_elements(%(bounds)s) WITH ORDINALITY AS b (bounds, n)
 WHERE NOT EXISTS (SELECT FROM osc.slice AS s WHERE s.change = leader.change AND s.step = %(step)s
                      AND s.leaf IS NOT DISTINCT FROM %(leaf)s::bigint::oid)
 ORDER BY b.n

-- name: slices
SELECT s.slice, s.change, s.step, s.lo, s.hi, s.cursor, s.seq, s.waves, s.epoch, s.owner, s.finished, s.rows_seen,
       s.rows_filled, s.batches, s.started_at, s.walk, s.filenode::bigint AS filenode, s.leaf::bigint AS leaf
  FROM osc.slice AS s
 WHERE (%(slice)s::bigint IS NULL OR s.slice = %(slice)s)
   AND (%(change)s::bigint IS NULL OR (s.change = %(change)s AND s.step = %(step)s))
 ORDER BY s.slice

-- name: claim
-- The epoch that was read is the ticket: of several claimers one finds it, and every batch under it is fenced.
UPDATE osc.slice AS s SET owner = %(owner)s, epoch = s.epoch + 1
 WHERE s.slice = %(slice)s AND s.epoch = %(epoch)s
RETURNING s.slice, s.change, s.step, s.lo, s.hi, s.cursor, s.seq, s.waves, s.epoch, s.owner, s.finished,
          s.rows_seen, s.rows_filled, s.batches, s.started_at, s.walk, s.filenode::bigint AS filenode, s.leaf::bigint AS leaf

-- name: claim_next
-- The first slice that nobody walks and that is not done with: not walked to its end, or with windows to visit again.
-- Whoever was not seen for so long walks no more; should it come back, its batches find another epoch. What this very
-- process walks already is named by it.
WITH free AS MATERIALIZED (
    SELECT s.slice FROM osc.slice AS s
     WHERE s.change = %(change)s AND s.step = %(step)s
       AND (NOT s.finished OR EXISTS (SELECT FROM osc.skipped AS k WHERE k.slice = s.slice))
       AND s.slice <> ALL (%(mine)s::bigint[])
       AND (s.owner IS NULL OR s.owner = %(owner)s
            OR NOT EXISTS (SELECT FROM osc.executor AS e
                            WHERE e.owner = s.owner
                              AND e.seen_at > clock_timestamp() - make_interval(secs => %(silent_s)s)))
     ORDER BY s.finished, s.slice LIMIT 1
       FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE osc.slice AS s SET owner = %(owner)s, epoch = s.epoch + 1
  FROM free WHERE s.slice = free.slice
RETURNING s.slice, s.change, s.step, s.lo, s.hi, s.cursor, s.seq, s.waves, s.epoch, s.owner, s.finished,
          s.rows_seen, s.rows_filled, s.batches, s.started_at, s.walk, s.filenode::bigint AS filenode, s.leaf::bigint AS leaf

-- name: is_open
SELECT EXISTS (SELECT FROM osc.slice AS s
                WHERE s.change = %(change)s AND s.step = %(step)s
                  AND (NOT s.finished OR EXISTS (SELECT FROM osc.skipped AS k WHERE k.slice = s.slice))) AS is_open

-- name: let_go
UPDATE osc.slice AS s SET owner = NULL WHERE s.slice = %(slice)s AND s.epoch = %(epoch)s
RETURNING s.slice

-- name: add_filled
UPDATE osc.slice AS s
   SET rows_filled = s.rows_filled + %(rows)s, rows_waved = s.rows_waved + %(waved)s, rows_hot = s.rows_hot + %(hot)s,
       waves = %(waves)s, waves_rest = %(rest)s
 WHERE s.slice = %(slice)s AND s.epoch = %(epoch)s
RETURNING s.slice

-- name: finish
UPDATE osc.slice AS s SET finished = true, seq = s.seq + 1
 WHERE s.slice = %(slice)s AND s.epoch = %(epoch)s AND s.seq = %(seq)s
RETURNING s.slice

-- name: drop
-- When the step is undone or begun anew: nothing of the fill's own state is left. With leaves, nothing of theirs but their
-- poison rows, which are named by key and tried again at the end.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
), slices AS (
    DELETE FROM osc.slice AS s USING leader
     WHERE s.change = leader.change AND s.step = %(step)s
       AND (%(leaves)s::bigint[] IS NULL OR s.leaf = ANY (%(leaves)s::bigint[]::oid[]))
    RETURNING s.slice
), skipped AS (
    DELETE FROM osc.skipped AS k USING leader
     WHERE k.change = leader.change AND k.step = %(step)s
       AND (%(leaves)s::bigint[] IS NULL OR k.slice IN (SELECT slices.slice FROM slices))
), poison AS (
    DELETE FROM osc.poison AS p USING leader
     WHERE p.change = leader.change AND p.step = %(step)s AND %(leaves)s::bigint[] IS NULL
)
SELECT leader.change FROM leader

-- name: skipped
SELECT k.skipped, k.change, k.step, k.slice, k.lo, k.hi, k.rows, k.at
  FROM osc.skipped AS k WHERE k.slice = %(slice)s ORDER BY k.skipped

-- name: drop_skipped
WITH own AS MATERIALIZED (
    SELECT s.slice FROM osc.slice AS s WHERE s.slice = %(slice)s AND s.epoch = %(epoch)s FOR SHARE
)
DELETE FROM osc.skipped AS k USING own WHERE k.skipped = %(skipped)s AND k.slice = own.slice
RETURNING k.skipped

-- name: poison
SELECT p.change, p.step, p.key, p.sqlstate, p.message, p.at
  FROM osc.poison AS p WHERE p.change = %(change)s ORDER BY p.step, p.at, p.key

-- name: clear_poison
DELETE FROM osc.poison AS p WHERE p.change = %(change)s AND p.step = %(step)s AND p.key = %(key)s

-- name: progress
SELECT s.change, s.step, count(*) AS slices, count(*) FILTER (WHERE s.finished) AS slices_finished,
       count(s.owner) FILTER (WHERE NOT s.finished) AS lanes,
       min(s.walk) AS walk, max(s.waves) FILTER (WHERE s.owner IS NOT NULL) AS waves,
       COALESCE(bool_or(s.waves_rest) FILTER (WHERE s.owner IS NOT NULL AND NOT s.finished), false) AS waves_rest,
       sum(s.rows_waved)::bigint AS rows_waved, sum(s.rows_hot)::bigint AS rows_hot,
       sum(s.rows_seen)::bigint AS rows_seen, sum(s.rows_filled)::bigint AS rows_filled, sum(s.batches)::bigint AS batches,
       (SELECT count(*) FROM osc.skipped AS k WHERE k.change = s.change AND k.step = s.step) AS windows_skipped,
       (SELECT COALESCE(sum(k.rows), 0)::bigint FROM osc.skipped AS k WHERE k.change = s.change AND k.step = s.step)
           AS rows_skipped,
       (SELECT count(*) FROM osc.poison AS p WHERE p.change = s.change AND p.step = s.step) AS rows_poison,
       extract(epoch FROM clock_timestamp() - min(s.started_at))::float8 AS started_s_ago
  FROM osc.slice AS s WHERE s.change = ANY (%(changes)s::bigint[])
 GROUP BY s.change, s.step ORDER BY s.change, min(s.slice)
