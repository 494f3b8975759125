-- Live knobs.

-- name: set_knob
WITH turned AS (
    INSERT INTO osc.setting (scope, key, value, set_by, expires_at, reason)
    VALUES (%(scope)s, %(key)s, %(value)s, %(who)s,
            clock_timestamp() + make_interval(secs => %(ttl_s)s::double precision), %(reason)s)
    RETURNING setting
)
SELECT turned.setting,
       osc.record_event((SELECT max(c.change) FROM osc.change AS c WHERE 'change:' || c.id = %(scope)s),
                        'set', %(data)s, %(who)s, NULL) AS event
  FROM turned

-- name: knobs
-- Of each scope the newest unexpired word on a key; of these the narrowest. A word that takes a knob back (NULL)
-- leaves the key to the wider scopes.
WITH words AS (
    SELECT DISTINCT ON (s.scope, s.key) s.scope, s.key, s.value, s.set_by, s.set_at, s.expires_at, s.reason, s.setting
      FROM osc.setting AS s
     WHERE s.scope = ANY (%(scopes)s) AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
     ORDER BY s.scope, s.key, s.setting DESC
)
SELECT DISTINCT ON (w.key) w.scope, w.key, w.value, w.set_by, w.set_at, w.expires_at, w.reason,
       extract(epoch FROM w.expires_at - clock_timestamp())::float8 AS expires_in_s
  FROM words AS w
 WHERE w.value IS NOT NULL
 ORDER BY w.key, CASE WHEN w.scope LIKE 'change:%%' THEN 1 WHEN w.scope LIKE 'table:%%' THEN 2 ELSE 3 END, w.setting DESC
