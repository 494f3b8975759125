-- The rows of osc.change. Each statement is a transaction of its own: no row stays locked over a round trip.

-- name: changes
-- With the widest reason for not going on: the change's own pause, else one of its tables', else everybody's.
-- ACCESS SHARE only.
SELECT c.change AS number, c.id, c.attempt, c.revision, c.state, c.state_since, c.target, c.direction, c.title,
       c.owner, c.service, c.labels, c.notify, c.pacing, c.tables, c.plan, c.plan_hash, c.program AS program_json, c.program_hash,
       c.paused, c.paused_by, c.paused_reason, c.paused_at, c.filled_at, c.problem, c.created_by, c.created_at,
       p.scope AS pause_scope, p.paused_by AS pause_by, p.reason AS pause_reason, p.at AS pause_at
  FROM osc.change AS c
  LEFT JOIN LATERAL (
        SELECT 1 AS rank, 'change:' || c.id AS scope, c.paused_by,
               COALESCE(c.paused_reason, '') AS reason, c.paused_at AS at
         WHERE c.paused
         UNION ALL
        SELECT CASE o.scope WHEN '*' THEN 3 ELSE 2 END, o.scope, o.paused_by, o.reason, o.at
          FROM osc.pause AS o
         WHERE o.scope = '*' OR o.scope IN (SELECT 'table:' || t.name FROM unnest(c.tables) AS t (name))
         ORDER BY 1, 2 LIMIT 1
       ) AS p ON true
 WHERE (%(number)s::bigint IS NULL OR c.change = %(number)s)
   AND (%(id)s::text IS NULL OR c.id = %(id)s)
   AND (NOT %(only_open)s OR c.state NOT IN ('done', 'rolled_back'))
 ORDER BY c.id, c.attempt

-- name: standing
-- What a leader asks between two batches: who leads, what is wished, and the widest pause. Without the program, which
-- can be large. ACCESS SHARE only.
SELECT c.state, c.direction, c.target, c.pacing, l.epoch,
       p.scope AS pause_scope, p.paused_by AS pause_by, p.reason AS pause_reason, p.at AS pause_at
  FROM osc.change AS c
  LEFT JOIN osc.lease AS l ON l.change = c.change
  LEFT JOIN LATERAL (
        SELECT 1 AS rank, 'change:' || c.id AS scope, c.paused_by,
               COALESCE(c.paused_reason, '') AS reason, c.paused_at AS at
         WHERE c.paused
         UNION ALL
        SELECT CASE o.scope WHEN '*' THEN 3 ELSE 2 END, o.scope, o.paused_by, o.reason, o.at
          FROM osc.pause AS o
         WHERE o.scope = '*' OR o.scope IN (SELECT 'table:' || t.name FROM unnest(c.tables) AS t (name))
         ORDER BY 1, 2 LIMIT 1
       ) AS p ON true
 WHERE c.change = %(change)s

-- name: register
-- The change with all that belongs to it. Two executors with one id meet at UNIQUE (id, attempt).
WITH new AS (
    INSERT INTO osc.change (id, attempt, title, owner, service, labels, notify, pacing, tables, plan, plan_hash,
                            program, program_hash)
    VALUES (%(id)s, %(attempt)s, %(title)s, %(owner)s, %(service)s, %(labels)s, %(notify)s, %(pacing)s, %(tables)s,
            %(plan)s, %(plan_hash)s, %(program)s, %(program_hash)s)
    RETURNING change
), steps AS (
    INSERT INTO osc.step (change, ordinal, step, phase, kind)
    SELECT new.change, s.ordinal, s.step, s.phase, s.kind
      FROM new, unnest(%(steps)s::text[], %(phases)s::text[], %(kinds)s::text[])
                WITH ORDINALITY AS s (step, phase, kind, ordinal)
), lease AS (
    INSERT INTO osc.lease (change) SELECT change FROM new
), heartbeat AS (
    INSERT INTO osc.heartbeat (change) SELECT change FROM new
)
SELECT new.change AS number, osc.record_event(new.change, 'register', %(data)s, %(who)s, NULL) AS event FROM new

-- name: describe_anew
-- What may change without a new attempt, because the hash does not cover it.
WITH told AS (
    UPDATE osc.change AS c
       SET title = %(title)s, owner = %(owner)s, service = %(service)s, labels = %(labels)s, notify = %(notify)s,
           pacing = %(pacing)s, plan = %(plan)s
     WHERE c.change = %(change)s AND c.plan_hash = %(plan_hash)s
       AND (c.title, c.owner, c.service, c.labels, c.notify, c.pacing, c.plan)
           IS DISTINCT FROM (%(title)s, %(owner)s, %(service)s, %(labels)s::jsonb, %(notify)s::jsonb, %(pacing)s::jsonb,
                             %(plan)s)
    RETURNING c.change
)
SELECT osc.record_event(told.change, 'describe', %(data)s, %(who)s, NULL) AS event FROM told

-- name: revise
-- Replace the program for the phases not yet begun; steps of phases that were begun stay as they are. The new steps
-- read `gone`, so that the old ones with the same ordinals are deleted before.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
), revised AS (
    UPDATE osc.change AS c
       SET revision = c.revision + 1, program = %(program)s, program_hash = %(program_hash)s
      FROM leader
     WHERE c.change = leader.change AND c.revision = %(revision)s
       AND NOT EXISTS (SELECT FROM osc.phase AS p WHERE p.change = c.change AND p.phase = ANY (%(phases)s::text[]))
    RETURNING c.change
), gone AS (
    DELETE FROM osc.step AS s USING revised WHERE s.change = revised.change AND s.phase = ANY (%(phases)s::text[])
    RETURNING s.ordinal
), added AS (
    INSERT INTO osc.step (change, ordinal, step, phase, kind)
    SELECT revised.change, s.ordinal, s.step, s.phase, s.kind
      FROM revised,
           unnest(%(ordinals)s::int[], %(steps)s::text[], %(step_phases)s::text[], %(kinds)s::text[])
               AS s (ordinal, step, phase, kind)
     WHERE (SELECT count(*) FROM gone) >= 0
)
SELECT osc.record_event(r.change, 'revise', %(data)s, %(who)s, %(epoch)s) AS event FROM revised AS r

-- name: set_state
-- Move the change, its phases' rows and the history at once. The lease row is shared for this statement, so a takeover
-- is either before it (then nothing matches) or after it.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
), moved AS (
    UPDATE osc.change AS c
       SET state = %(state)s, state_since = clock_timestamp(), problem = NULL,
           filled_at = CASE WHEN 'backfill' = ANY (%(undone)s::text[]) THEN NULL ELSE c.filled_at END
      FROM leader
     WHERE c.change = leader.change AND c.state = %(expected)s
       AND (%(reached)s::text IS NULL OR EXISTS (
               SELECT FROM osc.phase AS p
                WHERE p.change = c.change AND p.phase = %(reached)s::text AND p.completed_at IS NOT NULL))
    RETURNING c.change
), written AS (
    INSERT INTO osc.phase AS p (change, phase, begun_at, completed_at)
    SELECT moved.change, %(phase)s::text, now.at, CASE WHEN %(completed)s::boolean THEN now.at END
      FROM moved, (SELECT clock_timestamp() AS at) AS now
     WHERE %(phase)s::text IS NOT NULL
        ON CONFLICT (change, phase) DO UPDATE SET completed_at = EXCLUDED.completed_at
), removed AS (
    DELETE FROM osc.phase AS p USING moved WHERE p.change = moved.change AND p.phase = ANY (%(undone)s::text[])
)
SELECT osc.record_event(moved.change, 'state', %(data)s, %(who)s, %(epoch)s) AS event FROM moved

-- name: set_target
-- Only the wish: the leader reads it between steps. No way back is wished for once the first drop has begun. Whoever
-- asks again wants it tried again: the problem of the last run is over.
WITH wished AS (
    UPDATE osc.change AS c SET target = %(target)s, direction = %(direction)s, problem = NULL
     WHERE c.change = %(change)s AND c.state <> ALL (%(closed)s)
    RETURNING c.change
)
SELECT osc.record_event(wished.change, 'target', %(data)s, %(who)s, NULL) AS event FROM wished

-- name: set_problem
-- Under an epoch that leads no more nothing is written. A problem is history as well, its end is not.
WITH told AS (
    UPDATE osc.change AS c SET problem = %(problem)s
     WHERE c.change = %(change)s AND c.problem IS DISTINCT FROM %(problem)s::jsonb
       AND (%(epoch)s::bigint IS NULL
            OR EXISTS (SELECT FROM osc.lease AS l WHERE l.change = c.change AND l.epoch = %(epoch)s))
    RETURNING c.change
)
SELECT osc.record_event(told.change, 'problem', %(problem)s, %(who)s, %(epoch)s) AS event
  FROM told WHERE %(problem)s::jsonb IS NOT NULL

-- name: mark_filled
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
), filled AS (
    UPDATE osc.change AS c SET filled_at = COALESCE(c.filled_at, clock_timestamp())
      FROM leader WHERE c.change = leader.change
    RETURNING c.change, c.filled_at
)
SELECT filled.filled_at FROM filled

-- name: epoch
SELECT l.epoch FROM osc.lease AS l WHERE l.change = %(change)s

-- name: phases
SELECT p.change, p.phase, p.begun_at, p.completed_at,
       extract(epoch FROM clock_timestamp() - p.completed_at)::float8 AS completed_s_ago
  FROM osc.phase AS p WHERE p.change = ANY (%(changes)s::bigint[])
