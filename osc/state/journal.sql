-- The journal: osc.step. Starting a step shares the lease row for the length of one statement, which is what makes a
-- takeover either see the step (and fence it) or come first (and then nothing matches here). Afterwards the epoch in
-- the step's own row is the fence.

-- name: steps
SELECT s.change, s.ordinal, s.step, s.phase, s.kind, s.state, s.was, s.epoch, s.attempts, s.started_at, s.done_at,
       s.waiting, s.waiting_since, s.detail, s.result, s.error, s.progress
  FROM osc.step AS s WHERE s.change = ANY (%(changes)s::bigint[]) ORDER BY s.change, s.ordinal

-- name: start
-- From `states` into `state`, under this epoch.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
)
UPDATE osc.step AS s
   SET state = %(state)s, epoch = %(epoch)s, attempts = s.attempts + 1, started_at = clock_timestamp(), done_at = NULL,
       was = NULL, waiting = NULL, waiting_since = NULL, detail = NULL, error = NULL, progress = NULL,
       result = CASE WHEN %(state)s = 'undoing' OR s.state = 'started' THEN s.result END
  FROM leader
 WHERE s.change = leader.change AND s.ordinal = %(ordinal)s AND s.state = ANY (%(states)s)
RETURNING s.change, s.ordinal, s.step, s.phase, s.kind, s.state, s.was, s.epoch, s.attempts, s.started_at, s.done_at,
          s.waiting, s.waiting_since, s.detail, s.result, s.error, s.progress

-- name: drop_attempt
-- A step whose transaction did not commit left nothing: it is undone without ever being undone.
WITH leader AS MATERIALIZED (
    SELECT l.change FROM osc.lease AS l WHERE l.change = %(change)s AND l.epoch = %(epoch)s FOR SHARE
)
UPDATE osc.step AS s
   SET state = 'undone', epoch = %(epoch)s, done_at = clock_timestamp(), waiting = NULL, waiting_since = NULL,
       detail = NULL, error = NULL, result = NULL
  FROM leader
 WHERE s.change = leader.change AND s.ordinal = %(ordinal)s AND s.state IN ('started', 'failed')
RETURNING s.ordinal

-- name: end
-- Only the epoch that started it can end it.
UPDATE osc.step AS s
   SET state = %(state)s, was = CASE WHEN %(state)s = 'ambiguous' THEN s.state END,
       done_at = CASE WHEN %(state)s IN ('done', 'undone') THEN clock_timestamp() END,
       waiting = NULL, waiting_since = NULL, detail = NULL, error = %(error)s,
       result = CASE WHEN %(keep_result)s THEN s.result ELSE %(result)s END
 WHERE s.change = %(change)s AND s.ordinal = %(ordinal)s AND s.epoch = %(epoch)s AND s.state = ANY (%(states)s)
RETURNING s.ordinal

-- name: waiting
-- `waiting_since` stays while the reason does.
UPDATE osc.step AS s
   SET waiting = %(kind)s, detail = %(detail)s,
       waiting_since = CASE WHEN %(kind)s::text IS NULL THEN NULL
                            WHEN s.waiting = %(kind)s THEN s.waiting_since
                            ELSE clock_timestamp() END
 WHERE s.change = %(change)s AND s.ordinal = %(ordinal)s AND s.epoch = %(epoch)s AND s.state IN ('started', 'undoing')
RETURNING s.ordinal

-- name: progress
-- How far it is, for people.
UPDATE osc.step AS s SET progress = %(progress)s
 WHERE s.change = %(change)s AND s.ordinal = %(ordinal)s AND s.epoch = %(epoch)s AND s.state IN ('started', 'undoing')
RETURNING s.ordinal

-- name: note
-- What a started step has made so far (an index's oid, say), for whoever has to go on with it.
UPDATE osc.step AS s SET result = COALESCE(s.result, '{}') || %(result)s
 WHERE s.change = %(change)s AND s.ordinal = %(ordinal)s AND s.epoch = %(epoch)s AND s.state IN ('started', 'undoing')
RETURNING s.ordinal

-- name: resolve
-- A person has looked. What it was doing either happened or did not.
WITH resolved AS (
    UPDATE osc.step AS s
       SET state = CASE WHEN s.was = 'started' AND %(happened)s THEN 'done'
                        WHEN s.was = 'started' THEN 'pending'
                        WHEN %(happened)s THEN 'undone'
                        ELSE 'done' END,
           done_at = CASE WHEN s.was = 'undoing' OR %(happened)s THEN clock_timestamp() END,
           was = NULL, error = NULL
     WHERE s.change = %(change)s AND s.ordinal = %(ordinal)s AND s.state = 'ambiguous'
    RETURNING s.change, s.ordinal
)
SELECT r.ordinal, osc.record_event(r.change, 'resolve', %(data)s, %(who)s, NULL) AS event FROM resolved AS r

-- name: fence
-- Not run by itself: PL/pgSQL that ends a transaction of a step (journal.fence_fragment). The step's row is the fence;
-- the lease is read without a lock and only lets a successor's epoch be noticed earlier.
UPDATE osc.step AS s
   SET state = {state}, was = NULL, done_at = CASE WHEN {is_done} THEN pg_catalog.clock_timestamp() END,
       waiting = NULL, waiting_since = NULL, detail = NULL, error = NULL, result = ({result})
 WHERE s.change = {change} AND s.ordinal = {ordinal} AND s.epoch = {epoch} AND s.state = ANY (ARRAY[{states}])
   AND EXISTS (SELECT FROM osc.lease AS l WHERE l.change = {change} AND l.epoch = {epoch});
IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'OSC01',
        MESSAGE = 'fenced: another executor leads this change now, or the step is not being run';
END IF;
IF osc.is_paused({change}) THEN
    RAISE EXCEPTION USING ERRCODE = 'OSC02', MESSAGE = 'the change is paused';
END IF;
