-- Verdicts of verification passes; only a finished one counts.

-- name: begin
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
)
INSERT INTO osc.verification (change, step, triggers, ranges, digest)
SELECT leader.change, %(step)s, osc.triggers_mark(leader.change), %(ranges)s, %(digest)s FROM leader
RETURNING verification

-- name: unfinished
-- A pass that was broken off, asks the same, and has not been going on for so long that its first rows prove nothing.
SELECT v.verification, v.ranges FROM osc.verification AS v
 WHERE v.change = %(change)s AND v.step = %(step)s AND v.finished_at IS NULL AND v.digest = %(digest)s AND v.digest <> ''
   AND v.triggers = osc.triggers_mark(v.change)
   AND v.started_at > clock_timestamp() - make_interval(secs => %(fresh_s)s)
 ORDER BY v.verification DESC LIMIT 1

-- name: note_range
-- Only clean ranges are noted: one with rows out of step is looked at again.
UPDATE osc.verification AS v SET ranges = jsonb_set(v.ranges, ARRAY[%(n)s::text, '2'], to_jsonb(%(rows)s::bigint))
 WHERE v.verification = %(verification)s AND v.finished_at IS NULL
RETURNING v.verification

-- name: add_ranges
UPDATE osc.verification AS v SET ranges = v.ranges || %(ranges)s::jsonb
 WHERE v.verification = %(verification)s AND v.finished_at IS NULL
RETURNING v.verification

-- name: finish
-- A finished pass is never written again.
UPDATE osc.verification AS v
   SET finished_at = clock_timestamp(), rows = %(rows)s, mismatches = %(mismatches)s, sample = %(sample)s
 WHERE v.verification = %(verification)s AND v.finished_at IS NULL
RETURNING v.verification

-- name: latest
SELECT DISTINCT ON (v.change, v.step)
       v.verification, v.change, v.step, v.started_at, v.finished_at, v.rows, v.mismatches, v.sample,
       extract(epoch FROM clock_timestamp() - v.started_at)::float8 AS started_s_ago,
       v.triggers = osc.triggers_mark(v.change) AS guarded
  FROM osc.verification AS v
 WHERE v.change = ANY (%(changes)s::bigint[]) AND v.finished_at IS NOT NULL
 ORDER BY v.change, v.step, v.verification DESC

-- name: outdate
-- After something that the passes so far cannot vouch for (an undo of the fill, say).
DELETE FROM osc.verification AS v WHERE v.change = %(change)s AND v.step = %(step)s
