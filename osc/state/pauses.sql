-- Pauses. Nothing here waits for a step, a slice, a lease or a heartbeat: a pause commits at once (I20).

-- name: pause_change
UPDATE osc.change AS c
   SET paused = true, paused_by = %(who)s, paused_reason = %(reason)s, paused_at = clock_timestamp()
 WHERE c.id = %(id)s AND c.state NOT IN ('done', 'rolled_back') AND NOT c.paused
RETURNING c.change AS number

-- name: resume_change
UPDATE osc.change AS c
   SET paused = false, paused_by = NULL, paused_reason = NULL, paused_at = NULL
 WHERE c.id = %(id)s AND c.paused
RETURNING c.change AS number

-- name: pause_scope
INSERT INTO osc.pause (scope, paused_by, reason) VALUES (%(scope)s, %(who)s, %(reason)s)
    ON CONFLICT (scope) DO NOTHING
RETURNING scope

-- name: resume_scope
DELETE FROM osc.pause AS p WHERE p.scope = %(scope)s RETURNING p.scope

-- name: pauses
SELECT 'change:' || c.id AS scope, c.paused_by AS by, COALESCE(c.paused_reason, '') AS reason, c.paused_at AS at
  FROM osc.change AS c WHERE c.paused
 UNION ALL
SELECT p.scope, p.paused_by, p.reason, p.at FROM osc.pause AS p
 ORDER BY 4
