-- What fills kept of the application's own (osc.kept). It is written and read by the batches (osc.sql.keeping,
-- osc.sql.putback); here is its end.

-- name: forget
-- A piece of it. The lease row is shared for this statement: an old epoch deletes nothing.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
), piece AS MATERIALIZED (
    SELECT k.step, k.key FROM osc.kept AS k, leader WHERE k.change = leader.change
       AND (%(step)s::text IS NULL OR k.step = %(step)s)
     ORDER BY k.step, k.key COLLATE "C" LIMIT %(rows)s
), gone AS (
    DELETE FROM osc.kept AS k USING piece WHERE k.change = %(change)s AND k.step = piece.step AND k.key = piece.key
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS rows FROM leader
